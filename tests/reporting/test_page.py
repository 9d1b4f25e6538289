"""The page: well-formed, self-contained, complete, accessible, and the same for the same result."""

import re
from collections import Counter
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.plotting.number_texts import interval_text
from sklearn_pspd.reporting import html_report, methods_text
from sklearn_pspd.reporting.cohort import image_line
from sklearn_pspd.reporting.conclusion import conclusion_sentences
from sklearn_pspd.reporting.markup import table_element
from sklearn_pspd.reporting.tables import ReportTable, report_tables

VOID = {"meta", "img", "br", "link", "input", "hr"}
MEGABYTE = 1_000_000


class Outline(HTMLParser):
    """Collects elements, headings and the text of a page, and refuses elements that are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.headings, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and re.fullmatch(r"h\d", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), data))
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


@pytest.fixture(scope="module")
def page(six):
    return html_report(six)


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_the_page_is_well_formed_and_its_identifiers_are_unique(page, outline):
    counts = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert not [name for name, n in counts.items() if n > 1]
    referred = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert len(referred) > 100
    assert set(referred) <= set(counts)


def test_the_page_loads_nothing(page, outline):
    links = [a for _, attributes in outline.elements for name, a in attributes.items() if name in ("src", "href")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", page)
    assert "default-src 'none'" in page
    assert len(page.encode()) < 1.5 * MEGABYTE


def test_headings_are_in_order_and_the_contents_lead_to_them(outline):
    levels = [level for level, _ in outline.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    links = [attributes["href"][1:] for tag, attributes in outline.elements if tag == "a"]
    sections = [attributes["id"] for tag, attributes in outline.elements if tag == "section"]
    assert links[1:] == sections
    assert {"methods", "results", "calibration", "limits", "checklists", "negative-control"} <= set(sections)


def test_readers_who_do_not_see_the_page_are_served(outline):
    html = dict(outline.elements)["html"]
    assert html["lang"] == "en"
    figures = [attributes for tag, attributes in outline.elements if tag == "svg"]
    assert len(figures) == 9
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    heads = [attributes for tag, attributes in outline.elements if tag == "th"]
    assert {attributes["scope"] for attributes in heads} == {"col", "row"}


def test_every_table_of_the_study_is_in_the_page(six, outline):
    text = "".join(outline.text)
    tables = report_tables(six)
    assert {"AUC, CV", "AUC, external", "replicates", "thresholds", "negative control"} <= set(tables)
    for table in tables.values():
        assert f". {table.title}" in text
        for cell in table.frame.to_numpy().ravel():
            assert cell in text


def test_the_numbers_are_those_of_the_result(six, quick):
    cells = six.tables["comparison"].query("metric == 'auc' and evaluation == 'external'").to_dict("records")
    shown = report_tables(six)["AUC, external"].frame
    assert shown["AUC"].tolist() == [interval_text(row) for row in cells]
    assert shown["model"].tolist() == [row["model"] for row in cells]
    assert "replicates" not in report_tables(quick)


def test_the_summary_says_what_could_not_be_told(quick):
    few = quick.findings.head(0).reindex([0]).assign(finding="too few patients to tell")
    page = html_report(replace(quick, findings=few))
    (section,) = re.findall(r'<section id="summary".*?</section>', page, re.DOTALL)
    assert "too few patients to tell whether a feature reveals the outcome" in section
    assert f"Held out, site {quick.settings['held_out_site']}: " in section
    for sentence in conclusion_sentences(quick.tables):
        assert escape(sentence) in section


def test_the_page_begins_with_the_aucs_of_all_models_and_what_limits_them(quick):
    kinds = ["no sign of contrast", "no sign of contrast", "reformatted"]
    findings = pd.DataFrame({"patient_id": ["P1", "P2", "P1"], "finding": kinds})
    checks = pd.DataFrame({"patient_id": ["P1", "P2"]})
    page = html_report(replace(quick, image_checks=checks, image_findings=findings))
    (section,) = re.findall(r'<section id="summary".*?</section>', page, re.DOTALL)
    assert page.index("<svg") == page.index(section) + section.index("<svg")
    assert section.index("</ul>") < section.index("<svg") < section.index("<figcaption>Figure 1. AUCs of all models")
    for row in quick.tables["comparison"].query("metric == 'auc'").to_dict("records"):
        assert interval_text(row) in section
    for row in quick.sample_size.to_dict("records"):
        group = row["patients"].replace(" ", "-")
        assert f"{row['n_required']} {group} patients (there are {row['n_patients']})" in section
    assert "Image checks: no sign of contrast: 2 patients; reformatted: 1 patient<" in section
    assert re.search(r"Highest AUC of the 2 other models, external: 0\.\d\d \([^<]*\), (age|forest)<", section)


def test_the_line_on_images_is_short():
    findings = pd.DataFrame({"patient_id": range(5), "finding": ["a", "b", "c", "d", "e"]})
    assert image_line(findings) == "Image checks: a: 1 patient; b: 1 patient; c: 1 patient; 2 other findings"
    assert image_line(findings[:0]) == "Image checks: nothing odd (contrast agent, sequence, slice spacing, dates)"


def test_conclusions_follow_the_intervals_and_the_corrected_p_values(six):
    comparison, tests = six.tables["comparison"], six.tables["tests"]
    first = comparison["model"].iloc[0]
    is_first = comparison["metric"].eq("auc") & comparison["model"].eq(first)
    others = tests.query("metric == 'auc' and model_a == @first")["model_b"].unique()
    for low, high, p, sentence, found in (
        (0.4, 0.9, 0.3, "the interval includes chance (0.5)", "no difference from another model was shown"),
        (0.6, 0.9, 0.01, "better than chance (0.5)", f"higher than that of {others[0]} (+0.20"),
        (0.1, 0.4, 0.01, "below chance (0.5)", "no difference from the others was shown"),
    ):
        changed = comparison.copy()
        changed.loc[is_first, ["low", "high"]] = low, high
        differences = tests.assign(p_holm=0.5, difference=0.2, low=0.1, high=0.3)
        differences.loc[differences["model_b"] == others[0], "p_holm"] = p
        text = "\n".join(conclusion_sentences({"comparison": changed, "tests": differences}))
        assert text.count(sentence) == text.count(found) == is_first.sum()


def test_text_is_escaped(page):
    assert "Synthetic &lt;cohort&gt; &amp; nothing else" in page
    assert "<cohort>" not in page


def test_equal_results_give_equal_pages(quick):
    assert html_report(quick) == html_report(quick)
    assert plt.get_fignums() == []


def test_sections_without_content_are_left_out(quick):
    sections = re.findall(r'<section id="([^"]+)"', html_report(quick))
    assert "replicates" not in sections
    assert "tuning" not in sections
    assert "images" not in sections


def test_what_the_result_does_not_hold_is_given(quick, tmp_path):
    checks = pd.DataFrame([{"patient_id": "P<1>", "file": "a.dcm", "finding": "motion", "severity": "warning"}])
    picture = tmp_path / "sheet.png"
    picture.write_bytes(b"\x89PNG")
    n_patients = int(quick.sample_size["n_patients"].sum())
    flow = pd.DataFrame(
        [
            {"stage": "records", "rule": "", "excluded": 0, "left": n_patients + 4},
            {"stage": "inclusion", "rule": "several lesions", "excluded": 4, "left": n_patients},
        ]
    )
    page = html_report(quick, flow=flow, image_checks=checks, contact_sheet=picture)
    assert "P&lt;1&gt;" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert "several lesions" in page
    with pytest.raises(InputError, match=r"the groups hold .* patients; 33 are eligible"):
        html_report(quick, flow=flow.assign(excluded=[0, 1], left=[34, 33]))
    with pytest.raises(InputError, match=r"contact_sheet='sheet.pdf' is no image"):
        html_report(quick, contact_sheet="sheet.pdf")
    plt.close("all")


def test_the_methods_are_those_of_the_settings(six, quick):
    text = " ".join(methods_text(six).split())
    network = six.settings["models"]["MRI + clinical"].get_params()
    assert f"{network['classifier__epochs']} epochs" in text
    assert "3 convolution blocks (8, 16 and 32 filters of 2 x 2 px)" in text
    assert "falling to nearly zero along a cosine" in text
    assert "9 axial slices per patient" in text
    assert "16 x 16 px in a field of view of 200 mm" in text
    assert "float32 on 2 CPU cores" in text
    assert f"scikit-learn {six.settings['packages']['scikit-learn']}" in text
    text = " ".join(methods_text(quick).split())
    assert "logistic: Input: the clinical columns age_years, sex" in text
    assert "age: Input: the clinical column age_years. Logistic regression (LogisticRegression)." in text
    assert "C = 0.5" in text
    assert "Random forest of 5 trees, 2 features considered at each split" in text
    assert "3 folds; seed 0" in text
    assert "with 2 permutations of the outcomes (age)" in text
    assert "slices" not in text


def test_each_method_of_an_interval_is_named(six):
    text = " ".join(methods_text(six).split())
    for table in ("comparison", "tests"):
        methods = six.tables[table].query("metric in ('auc', 'accuracy', 'brier')")["method"]
        assert len(methods)
        for word in {word for method in methods for word in method.split()}:
            assert word in text


def test_columns_of_long_texts_or_headings_are_wide():
    frame = pd.DataFrame({"n": ["1"], "detail": ["word " * 20], "95 % interval expected of an AUC": ["0.38 to 0.93"]})
    element = table_element(ReportTable("Findings", frame))
    assert '<th scope="col">n</th><th scope="col" class="long">detail</th>' in element
    assert '<th scope="col" class="headed">95 % interval' in element
