"""The slices of all patients on one page, to look at before anything is trained."""

import base64
import html
import io

import numpy as np
from PIL import Image

from sklearn_pspd.cohort.columns import POSITION_COLUMNS
from sklearn_pspd.cohort.problems import is_missing, missing_columns, normalise_ids, raise_problems
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import replaced_when_whole
from sklearn_pspd.loading import SliceStackLoader

THUMBNAIL_PX = 100
BATCH = 16  # patients whose stacks are in memory at a time
GREY_PERCENTILES = (0.5, 99.8)
JPEG_QUALITY = 85
_STYLE = """
:root { color-scheme: light; }
body { margin: 0; display: flex; flex-direction: column; color: #1c2126;
  font: 14px/1.45 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.25rem; margin: 0; padding: 1rem 1.2rem 0; order: -2; }
/* It comes last in the file, when all images have been read. */
#summary { order: -1; padding: 0 1.2rem .6rem; border-bottom: 1px solid #d5dae0; }
#summary p { margin: .3rem 0; max-width: 60rem; color: #4a545f; overflow-wrap: anywhere; }
#summary .found, #summary a { color: #b3261e; }
article { display: grid; grid-template-columns: 15rem minmax(0, 58rem); gap: .3rem 1rem; padding: .6rem 1.2rem;
  border-bottom: 1px solid #e6eaee; align-items: start; }
article.flagged { background: #fff5f4; }
article.unread { grid-template-columns: minmax(0, 74rem); }
h2 { font-size: .95rem; margin: 0; overflow-wrap: anywhere; }
article p { margin: 0; color: #4a545f; font-size: .85rem; overflow-wrap: anywhere; }
ul { margin: .25rem 0 0; padding-left: 1.1rem; color: #b3261e; font-size: .88rem; font-weight: 600;
  overflow-wrap: anywhere; }
figure { margin: 0; position: relative; background: #000; }
figure img { display: block; width: 100%; height: auto; }
figure i { position: absolute; top: 0; bottom: 0; border: 2px solid #35b8e0; }
figcaption { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; color: #66717d; font-size: .74rem;
  text-align: center; font-variant-numeric: tabular-nums; }
footer { padding: .8rem 1.2rem; color: #66717d; font-size: .85rem; }
@media (max-width: 800px) { article { grid-template-columns: minmax(0, 1fr); } article p { display: inline; }
  article p + p::before { content: "; "; } }
@media print { article { break-inside: avoid; } }
"""
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title><link rel="icon" href="data:,"><style>{style}</style></head>
<body><h1>{heading}</h1>
"""
_END = """<section id="summary"><p>{n_patients} patients, {n_slices} slices each from feet to head, counted from 0; the
patient's right is at the left. The framed slice must show the lesion. Outcomes are not shown.</p>{found}</section>
<footer>Research software, not a medical device.</footer></body></html>
"""


def write_contact_sheet(path, cohort, *, loader=None, findings=None, title=None):
    """Write the slices of all patients to one HTML page, with what was found about them.

    The page needs no other file and no network. Each patient has a row with the slices of the stack from feet to head,
    the middle one framed; site, matrix, spacing and position; and the findings in red. A patient whose image cannot be
    loaded has the reasons instead of slices. Outcomes are not shown.

    Parameters
    ----------
    path : path-like
        The file to write.
    cohort : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    loader : SliceStackLoader, default=None
        How stacks are read; None takes the loader's defaults.
    findings : DataFrame, default=None
        What was found about patients: ``patient_id`` and ``finding``, one row per finding; other columns are not used.
    title : str, default=None
        Heading, for example that the cohort is synthetic.

    Raises
    ------
    InputError
        If columns are missing, or a finding is about a patient who is not in the table.
    OSError
        If the file cannot be written.

    Notes
    -----
    Thumbnails are at most 100 pixels wide, in the proportions of the slices in mm, with grey values between the
    percentiles 0.5 and 99.8 of the stack. Stacks are read in batches of 16 patients, so that memory does not grow with
    the cohort.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort
    >>> from sklearn_pspd.reporting import write_contact_sheet
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 6, matrix_px=(128,), n_native_slices=10, random_state=0)
    ...     write_contact_sheet(f"{folder}/contact_sheet.html", cohort)
    ...     text = Path(folder, "contact_sheet.html").read_text()
    >>> text.count("<article"), text.count("data:image/jpeg")
    (6, 6)
    """
    raise_problems("the cohort table has", missing_columns(cohort, ("patient_id", "image")))
    loader = SliceStackLoader() if loader is None else loader
    by_patient = _by_patient(cohort, findings)
    heading = html.escape(title or "Contact sheet")
    flagged = []
    with replaced_when_whole(path) as file:
        file.write(_HEAD.format(heading=heading, style=_STYLE).encode())
        for start in range(0, len(cohort), BATCH):
            batch = cohort.iloc[start : start + BATCH]
            rows, read = batch.to_dict("records"), _read(batch, loader)
            for number, (row, (stack, problem)) in enumerate(zip(rows, read, strict=True), start=start + 1):
                texts = [*by_patient.get(normalise_ids([row["patient_id"]])[0], ()), *filter(None, [problem])]
                if texts:
                    flagged.append((number, str(row["patient_id"])))
                file.write(_article(number, row, stack, texts).encode())
        file.write(_end(len(cohort), flagged, loader.n_slices).encode())


def _by_patient(cohort, findings):
    """Return the findings by comparable id."""
    if findings is None:
        return {}
    raise_problems("findings has", missing_columns(findings, ("patient_id", "finding")))
    known = set(normalise_ids(cohort["patient_id"]))
    found, problems = {}, []
    for name, key, text in zip(
        findings["patient_id"], normalise_ids(findings["patient_id"]), findings["finding"], strict=True
    ):
        if key not in known:
            problems.append(f"patient {name}: is not in the cohort table")
        found.setdefault(key, []).append(str(text))
    raise_problems("findings has", list(dict.fromkeys(problems)))
    return found


def _read(batch, loader):
    """Return (stack, "") or (None, problem) for each row."""
    try:
        return [(stack, "") for stack in loader.transform(batch)]
    except InputError:
        problems = loader.inspect(batch)["problem"].tolist()
    is_sound = [not problem for problem in problems]
    stacks = iter(loader.transform(batch[is_sound]) if any(is_sound) else ())
    return [(None, problem) if problem else (next(stacks), "") for problem in problems]


def _article(number, row, stack, texts):
    """Return the row of one patient."""
    site = "" if is_missing(row.get("site")) else f"site {row['site']}"
    facts = [site, _position_text(row), *([] if stack is None else _facts(stack))]
    texts_html = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    facts_html = "".join(f"<p>{html.escape(fact)}</p>" for fact in facts if fact)
    kinds = " ".join(["flagged"] * bool(texts) + ["unread"] * (stack is None))
    return (
        f'<article id="p{number}" class="{kinds}">\n<div><h2>{html.escape(str(row["patient_id"]))}</h2>{facts_html}'
        f"{f'<ul>{texts_html}</ul>' if texts else ''}</div>\n{'' if stack is None else _figures(stack)}</article>\n"
    )


def _position_text(row):
    given = {name: row[name] for name in POSITION_COLUMNS if name in row and not is_missing(row[name])}
    # A table in which some slices are empty has the others as 5.0.
    given = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()]
    # The path of a mask is long, and may contain a name.
    return "; ".join("lesion_mask" if text.startswith("lesion_mask") else text for text in given)


def _facts(stack):
    _, height, width = stack.pixels.shape
    rows, columns = stack.spacing_mm
    tilt = f", tilt {stack.tilt_deg:.1f}\N{DEGREE SIGN}" if stack.tilt_deg >= 0.05 else ""
    return [
        f"{height} x {width} px of {rows:.2f} x {columns:.2f} mm",
        f"slice spacing {stack.slice_spacing_mm:.2f} mm{tilt}",
        f"slices {stack.slice_indices[0]:g} to {stack.slice_indices[-1]:g} of {stack.n_slices_in_source}",
    ]


def _figures(stack):
    """Return the slices of each image of a patient, in one row each."""
    return "".join(_figure(stack, pixels) for pixels in stack.images)


def _figure(stack, images):
    n_slices = len(images)
    names = "".join(f"<span>{index:g}</span>" for index in stack.slice_indices)
    middle = f"left:{100 * (n_slices // 2) / n_slices:.3f}%;width:{100 / n_slices:.3f}%"
    return (
        f'<div><figure><img alt="slices {stack.slice_indices[0]:g} to {stack.slice_indices[-1]:g}" '
        f'src="data:image/jpeg;base64,{_strip(images, stack.fov_mm)}"><i style="{middle}"></i></figure>'
        f"<figcaption>{names}</figcaption></div>"
    )


def _strip(images, fov_mm):
    """Return the slices of an image side by side as a JPEG image in base 64."""
    low, high = np.percentile(images, GREY_PERCENTILES)
    height_mm, width_mm = fov_mm
    scale = THUMBNAIL_PX / max(height_mm, width_mm)
    size = max(1, round(width_mm * scale)), max(1, round(height_mm * scale))
    thumbnails = []
    for pixels in images:
        grey = np.clip((pixels - low) * (255 / (high - low)) if high > low else 0 * pixels, 0, 255)
        thumbnails.append(np.asarray(Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BOX)))
    content = io.BytesIO()
    Image.fromarray(np.hstack(thumbnails)).save(content, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(content.getvalue()).decode()


def _end(n_patients, flagged, n_slices):
    """Return the summary, which the page shows above the patients, and the end of the page."""
    links = ", ".join(f'<a href="#p{number}">{html.escape(name)}</a>' for number, name in flagged)
    found = f'<p class="found">Findings about {len(flagged)}: {links}</p>' if flagged else "<p>No findings.</p>"
    return _END.format(n_patients=n_patients, n_slices=n_slices, found=found)
