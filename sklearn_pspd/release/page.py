"""The page of one patient: prediction with its uncertainty, slices, values, and what the model is."""

import re
from html import escape
from importlib.resources import files

import numpy as np
import pandas as pd

from .imputation import imputed_texts
from .model_card import STAMP, band_text, card_section
from .pictures import grey_levels, png_uri, scale_svg
from .prediction import NO_CLASS
from .sentences import decimals_of, interval_text
from .training_ranges import INSIDE, MISSING, UNSEEN

EXCERPT = ("Intended use", "Training patients", "Limits")


def patient_page(released, row, distance, *, members=(), images=None, notes=()):
    """Write the page of one patient as HTML that needs nothing else.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    row : Series
        The patient's row of :func:`~sklearn_pspd.release.predict_patients`.
    distance : DataFrame
        The patient's rows of :func:`~sklearn_pspd.release.training_distance`.
    members : sequence of float, default=()
        Probabilities by the members of an ensemble.
    images : ndarray of shape (n_slices, height, width), default=None
        The slices that were used, in the field of view of the model.
    notes : sequence of str, default=()
        What else must be known, such as a doubt about the series.

    Returns
    -------
    str
        The page. All texts that come from patients, files and the release are escaped.
    """
    title = f"Patient {row['patient_id']}"
    style = files("sklearn_pspd.release").joinpath("page.css").read_text(encoding="utf-8")
    sections = [
        f'<p class="stamp">{STAMP}</p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">Model: {escape(released.name)}, trained on {released.n_patients} patients. PsPD: '
        "pseudoprogression; PD: true progression of glioblastoma.</p>",
        _prediction(released, row, distance, members),
        _notes(distance, notes),
        _slices(released, row, images),
        _values(distance, "clinical", "Clinical values"),
        _values(distance, "acquisition", "Acquisition of the image"),
        _excerpt(released),
        _footer(released),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: probability of PsPD</title><style>{style}</style>"
    )
    body = "\n".join(section for section in sections if section)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _prediction(released, row, distance, members):
    has_interval = not pd.isna(row["calibrated_low"])
    rule = released.calibration["abstention"]
    decimals = decimals_of([row], rule)
    is_no_class = row["predicted_class"] == NO_CLASS
    answer = "No class is given" if is_no_class else f"Classified as {row['predicted_class']}"
    lines = [f'<p class="answer">{answer}; probability of PsPD {row["probability"]:.{decimals}f}</p>']
    if imputed := imputed_texts(distance):
        lines.append(_listed(imputed))
    drawing = scale_svg(
        probability=row["probability"],
        threshold=row["threshold"],
        interval=(row["calibrated_low"], row["calibrated_high"]) if has_interval else None,
        members=members,
        band=None if rule is None else (rule["low"], rule["high"]),
        decimals=decimals,
    )
    keys = ['<span class="key" style="background:#b34700"></span>model']
    if has_interval:
        keys.append('<span class="key" style="background:#0b5cad"></span>calibrated interval')
    if len(members):
        keys.append(f'<span class="key" style="background:#5b21b6"></span>its {len(members)} members')
    keys.append(f"dashed: threshold {row['threshold']:.{decimals}f}")
    lines.append(f"<figure>{drawing}<figcaption>{' · '.join(keys)}</figcaption></figure>")
    lines += [f"<p>{sentence}</p>" for sentence in _uncertainty(row, has_interval, len(members), decimals)]
    lines.append(f"<p>{escape(_abstention(released, is_no_class, decimals))}</p>")
    return "<h2>Prediction</h2>\n" + "\n".join(lines)


def _uncertainty(row, has_interval, n_members, decimals):
    if has_interval:
        yield (
            f"Calibrated interval (Venn-Abers): {row['calibrated_low']:.{decimals}f} to "
            f"{row['calibrated_high']:.{decimals}f}. The wider it is, the less the out-of-fold scores of the training "
            "patients say about such a probability."
        )
        if text := interval_text(row):
            yield f"{text[0].upper()}{text[1:]}."
    else:
        yield "There is no calibrated interval: the model was released without out-of-fold scores."
    if n_members:
        yield (
            f"The {n_members} networks of the ensemble, trained from different seeds, give "
            f"{row['lowest_member']:.{decimals}f} to {row['highest_member']:.{decimals}f} (SD "
            f"{row['sd_of_members']:.2f})."
        )


def _abstention(released, is_no_class, decimals):
    rule = released.calibration["abstention"]
    if rule is None:
        return f"The model never abstains: {released.calibration['no_abstention']}."
    return (
        f"{'The model abstains. ' if is_no_class else ''}{band_text(rule, decimals)}. Of patients with a class, at "
        f"most {rule['error_limit']:.0%} are classified wrongly, with {rule['confidence_level']:.0%} confidence and in "
        "patients like those of the training."
    )


def _notes(distance, notes):
    outside = distance[~distance["comparison"].isin([INSIDE, MISSING])]
    items = list(notes) + [_outside(row) for row in outside.rename(columns={"name": "name_"}).itertuples(index=False)]
    if items:
        return _listed(items)
    unknown = distance[(distance["comparison"] == MISSING) | (distance["imputed"] != "")]["name"]
    if len(unknown):
        names = escape(", ".join(unknown))
        return f"<p>No known value lies outside the training ranges; not known: {names}.</p>"
    return "<p>No value lies outside the training ranges.</p>" if len(distance) else ""


def _listed(texts):
    return f'<div class="notes"><ul>{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul></div>'


def _outside(row):
    if row.comparison == UNSEEN:
        return f"No training patient had {row.name_} {_value(row)} (training: {row.training})"
    return f"{row.name_} is outside the training range ({_value(row)}; training {row.training})"


def _slices(released, row, images):
    if images is None:
        return ""
    needs, levels = released.schema["image"], grey_levels(images)
    middle = len(levels) // 2
    names = row["slices"].split()
    cells = [
        f'<div><img alt="slice {name}" src="{png_uri(image)}"{" class=middle" if place == middle else ""}>{name}</div>'
        for place, (name, image) in enumerate(zip(names, levels, strict=True))
    ]
    seen = f"; the network sees {needs['size_px']} x {needs['size_px']} px" if needs["size_px"] else ""
    caption = (
        f"The slices that were used, by their number from the feet (0); the framed one is the middle. Field of view "
        f"{needs['fov_mm']:g} mm{seen}. The patient's right is at the left."
    )
    pictures = f'<figure><div class="slices">{"".join(cells)}</div><figcaption>{caption}</figcaption></figure>'
    return f"<h2>Slices</h2>\n{pictures}"


def _values(distance, kind, title):
    rows = distance[distance["kind"] == kind]
    if rows.empty:
        return ""
    heads = ("", "value", "training", "comparison", "consequence")
    lines = []
    for row in rows.rename(columns={"name": "name_"}).itertuples(index=False):
        # A fact that an image does not state is common; a clinical value that is missing was forgotten, perhaps.
        is_outside = row.comparison not in (INSIDE, MISSING) or (row.comparison == MISSING and row.imputed)
        comparison = f'<span class="flag">{escape(row.comparison)}</span>' if is_outside else escape(row.comparison)
        cells = (escape(row.name_), escape(_value(row)), escape(row.training), comparison, escape(row.consequence))
        labels = [f' data-label="{head}"' if head else "" for head in heads]
        tds = "".join(f"<td{label}>{cell}</td>" for label, cell in zip(labels, cells, strict=True))
        lines.append(f"<tr{' class=outside' if is_outside else ''}>{tds}</tr>")
    header = "".join(f"<th>{head}</th>" for head in heads)
    return f"<h2>{title}</h2>\n<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _value(row):
    if row.value is None or (isinstance(row.value, float) and np.isnan(row.value)):
        return "missing"
    text = f"{row.value:.4g}" if isinstance(row.value, float | int | np.number) else str(row.value)
    return f"{text} {row.unit}" if row.unit else text


def _excerpt(released):
    parts = []
    for title in EXCERPT:
        # Paragraphs and lists of the card; its tables are on this page anyway.
        text = "\n".join(line for line in card_section(released.card, title).splitlines() if not line.startswith("|"))
        items = [line[2:] for line in text.splitlines() if line.startswith("- ")]
        plain = " ".join(line for line in text.splitlines() if line and not line.startswith("- "))
        listed = f"<ul>{''.join(f'<li>{_plain(item)}</li>' for item in items)}</ul>" if items else ""
        parts.append(f"<p><strong>{title}.</strong> {_plain(plain)}</p>{listed}")
    return "<h2>From the model card</h2>\n" + "\n".join(parts)


def _plain(markdown):
    return escape(re.sub(r"\\(.)", r"\1", markdown).replace("**", ""))


def _footer(released):
    versions = "; ".join(released.other_versions)
    differs = f" Versions differ from the export: {escape(versions)}." if versions else ""
    exactly = "exactly" if released.deviation == 0 else f"within {released.deviation:.1g}"
    return (
        f"<footer><p>{STAMP}. Release {released.fingerprint[:16]}, arithmetic "
        f"{escape(str(released.manifest['arithmetic'] or 'float64'))}; the probability of its synthetic patient was "
        f"reproduced here {exactly}.{differs}</p></footer>"
    )
