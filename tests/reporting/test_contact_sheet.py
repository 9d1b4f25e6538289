"""The slices of all patients on one page."""

import base64
import io
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sklearn_pspd import __main__ as command
from sklearn_pspd import make_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.reporting import contact_sheet, write_contact_sheet


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 8, matrix_px=(128, 160), n_native_slices=12, random_state=0)


def page_of(path, cohort, **options):
    write_contact_sheet(path / "sheet.html", cohort, **options)
    return (path / "sheet.html").read_text(encoding="utf-8")


def articles(text):
    return dict(re.findall(r'<article id="p(\d+)".*?<h2>.*?</h2>(.*?)</article>', text, re.DOTALL))


def test_each_patient_has_the_slices_that_the_loader_takes(tmp_path, cohort):
    loader = SliceStackLoader(n_slices=5)
    text = page_of(tmp_path, cohort, loader=loader, title="Made <up>")
    found = articles(text)
    assert len(found) == len(cohort)
    for part, stack in zip(found.values(), loader.transform(cohort), strict=True):
        (content,) = re.findall(r"data:image/jpeg;base64,([^\"]+)", part)
        strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(float)
        assert strip.ndim == 2
        assert strip.shape == (100, 500)
        thumbnails = np.split(strip, 5, axis=1)
        for thumbnail, pixels in zip(thumbnails, stack.pixels, strict=True):
            small = np.asarray(Image.fromarray(pixels).resize((100, 100), Image.Resampling.BOX))
            assert np.corrcoef(thumbnail.ravel(), small.ravel())[0, 1] > 0.98
        assert [float(name) for name in re.findall(r"<span>(.*?)</span>", part)] == list(stack.slice_indices)
        assert f"slice spacing {stack.slice_spacing_mm:.2f} mm" in part
    assert "Made &lt;up&gt;" in text
    assert "No findings" in text


def test_positions_are_whole_numbers_also_in_a_column_with_gaps(tmp_path, cohort):
    with_gaps = cohort.astype({"lesion_slice": float})
    with_gaps.loc[0, "lesion_slice"] = np.nan
    first, second, *_ = articles(page_of(tmp_path, with_gaps)).values()
    assert "<p>lesion_slice" not in first
    assert f"<p>lesion_slice {cohort['lesion_slice'][1]:.0f}<" in second


def test_nothing_reveals_outcomes_or_needs_another_file(tmp_path, cohort):
    text = page_of(tmp_path, cohort)
    assert not re.search(r"\bPs?PD\b", re.sub(r"base64,[^\"]+", "", text))
    assert page_of(tmp_path, cohort.drop(columns="outcome")) == text
    sources = re.findall(r'(?:src|href)="(.*?)"', text)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert "<script" not in text


def test_findings_and_images_that_cannot_be_loaded(tmp_path, cohort):
    cohort = cohort.assign(lesion_slice=[1, *cohort["lesion_slice"][1:]])
    findings = pd.DataFrame(
        {
            "patient_id": [f" {cohort['patient_id'][2].upper()}", cohort["patient_id"][2]],
            "finding": ["no sign of contrast", "TE < 95 ms"],
            "severity": "warning",
        }
    )
    text = page_of(tmp_path, cohort, findings=findings)
    found = articles(text)
    assert "<li>no sign of contrast</li><li>TE &lt; 95 ms</li>" in found["3"]
    assert "are needed: correct the position" in found["1"]
    assert "<img" not in found["1"]
    assert sum("<img" in part for part in found.values()) == 7
    summary = text.split('id="summary"')[1]
    assert "Findings about 2:" in summary
    assert re.findall(r'href="#p(\d+)"', summary) == ["1", "3"]
    with pytest.raises(InputError, match="patient P99: is not in the cohort table"):
        page_of(tmp_path, cohort, findings=pd.DataFrame({"patient_id": ["P99"], "finding": ["x"]}))
    with pytest.raises(InputError, match="column finding: missing"):
        page_of(tmp_path, cohort, findings=findings.drop(columns="finding"))


def test_memory_does_not_grow_with_the_cohort(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr(contact_sheet, "BATCH", 4)

    def peak(n_copies):
        many = pd.concat([cohort] * n_copies, ignore_index=True)
        many["patient_id"] = [f"P{number}" for number in range(len(many))]
        tracemalloc.start()
        write_contact_sheet(tmp_path / "many.html", many)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(1)
    few, many = peak(1), peak(8)
    assert (tmp_path / "many.html").read_text().count("<article") == 64
    assert many < 1.2 * few


def test_the_command_writes_it_also_if_images_cannot_be_loaded(tmp_path, cohort, monkeypatch, capsys):
    cohort.assign(lesion_slice=[1, *cohort["lesion_slice"][1:]]).to_csv(tmp_path / "cohort.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert command.main(["check", "cohort.csv", "--contact-sheet", "sheet.html"]) == 2
    assert "correct the position" in capsys.readouterr().err
    assert "correct the position" in (tmp_path / "sheet.html").read_text(encoding="utf-8")
