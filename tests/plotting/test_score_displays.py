"""Figures of scores and the tables that they are drawn from agree."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import auc as area_below
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score
from sklearn.pipeline import make_pipeline

from sklearn_pspd import ModelComparison, compare_models, negative_control
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.plotting import (
    AUCDisplay,
    CalibrationCurveDisplay,
    ComparisonDisplay,
    ConfusionMatrixDisplay,
    DecisionCurveDisplay,
    FoldCurvesDisplay,
    NegativeControlDisplay,
    ThresholdDisplay,
)

# By display: the shape of its panels for two models and two evaluations.
SHAPES = {
    AUCDisplay: (2,),
    CalibrationCurveDisplay: (2, 2),
    ComparisonDisplay: (2, 3),
    ConfusionMatrixDisplay: (2, 2),
    DecisionCurveDisplay: (2, 2),
    FoldCurvesDisplay: (2, 2),
    ThresholdDisplay: (3,),
}
NEED_FOLDS = (FoldCurvesDisplay, ThresholdDisplay)


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    return pd.DataFrame({"a": rng.normal(size=60) + y, "b": rng.normal(size=60)}), y


@pytest.fixture(scope="module")
def comparison(patients):
    X, y = patients
    models = {"weak": LogisticRegression(C=0.01), "strong": LogisticRegression()}
    return compare_models(models, X[:40], y[:40], cv=4, X_test=X[40:], y_test=y[40:], random_state=0)


@pytest.fixture(scope="module")
def cross_validated(comparison):
    """Scores of the strong model in the cross-validation."""
    return comparison.scores.query("model == 'strong' and evaluation == 'cross-validation'")


def rows_of(table, **values):
    """Return the rows with these values in these columns."""
    return table[np.logical_and.reduce([table[column] == value for column, value in values.items()])]


def overlapping(figure):
    """Return pairs of texts that are drawn over each other."""
    figure.canvas.draw()
    found = [text for text in figure.findobj(plt.Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in found]
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[i + 1 :] if one.overlaps(other)]


def drawn(axes):
    """Return what the panels show as text, in which NaN equals NaN, to compare two figures."""
    lines = [line.get_xydata().tolist() for ax in axes.flat for line in ax.lines]
    texts = [text.get_text() for ax in axes.flat for text in ax.texts]
    images = [image.get_array().tolist() for ax in axes.flat for image in ax.images]
    assert lines or images
    return repr((lines, texts, images))


@pytest.mark.parametrize("display_class", SHAPES)
def test_every_display_draws_on_given_axes_as_on_its_own(display_class, comparison):
    shape = SHAPES[display_class]
    display = display_class.from_comparison(comparison, title="made up")
    assert display.axes_.shape == shape
    assert display.figure_.get_suptitle() == "made up"
    assert isinstance(display.frame(), pd.DataFrame)

    figure, axes = plt.subplots(2, int(np.prod(shape)))
    given = display_class.from_comparison(comparison, axes=axes[1].tolist())
    assert given.figure_ is figure
    assert given.axes_.ravel().tolist() == axes[1].tolist()
    assert not any(ax.has_data() for ax in axes[0])
    assert figure.get_suptitle() == ""
    assert drawn(given.axes_) == drawn(display.axes_)
    assert display.plot() is display  # a display can be drawn again


@pytest.mark.parametrize("display_class", SHAPES)
def test_wrong_axes_are_refused(display_class, comparison):
    n_panels = int(np.prod(SHAPES[display_class]))
    _, axes = plt.subplots(1, n_panels + 1)
    with pytest.raises(InputError, match=rf"{display_class.__name__} draws on {n_panels} axes.*; got {n_panels + 1}$"):
        display_class.from_comparison(comparison, axes=axes)
    with pytest.raises(InputError, match="draws on matplotlib axes; got str"):
        display_class.from_comparison(comparison, axes=["ax"] * n_panels)


@pytest.mark.parametrize("display_class", SHAPES)
def test_predictions_are_drawn_as_a_comparison(display_class, cross_validated):
    columns = {name: cross_validated[name].to_numpy() for name in ("fold", "threshold")}
    y_true, y_score = cross_validated["y_true"], cross_validated["y_score"]
    display = display_class.from_predictions(y_true, y_score, **columns, name="strong", title="made up")
    # Patients are resampled in the order of their ids, which here is that of the rows.
    numbered = cross_validated.assign(patient_id=np.arange(len(cross_validated)))
    expected = display_class.from_comparison(ModelComparison(numbered), title="made up")
    pd.testing.assert_frame_equal(display.frame(), expected.frame())
    assert drawn(display.axes_) == drawn(expected.axes_)
    assert display.figure_.get_suptitle() == "made up"

    both = display_class.from_predictions(y_true, {"strong": y_score, "opposite": 1 - y_score}, **columns)
    assert set(both.frame()["model"]) == {"strong", "opposite"}


@pytest.mark.parametrize("display_class", [name for name in SHAPES if name not in NEED_FOLDS])
def test_an_estimator_is_drawn_as_its_predictions(display_class, patients):
    X, y = patients
    outcome = np.array(["PD", "PsPD"])[y]
    model = make_pipeline(LogisticRegression()).fit(X[:40], outcome[:40])
    display = display_class.from_estimator(model, X[40:], outcome[40:], threshold=0.4)
    expected = display_class.from_predictions(
        outcome[40:], model.predict_proba(X[40:])[:, 1], pos_label="PsPD", name="Pipeline", threshold=0.4
    )
    pd.testing.assert_frame_equal(display.frame(), expected.frame())
    assert drawn(display.axes_) == drawn(expected.axes_)
    named = display_class.from_estimator(model, X[40:], outcome[40:], name="logistic")
    assert set(named.frame()["model"]) == {"logistic"}


def test_estimators_without_two_probabilities_are_refused(patients):
    X, y = patients
    with pytest.raises(InputError, match="RidgeClassifier has no predict_proba"):
        ConfusionMatrixDisplay.from_estimator(RidgeClassifier().fit(X, y), X, y)
    with pytest.raises(InputError, match="DummyClassifier separates 3 classes"):
        ConfusionMatrixDisplay.from_estimator(DummyClassifier().fit(X, np.arange(60) % 3), X, y)


@pytest.mark.parametrize("display_class", NEED_FOLDS)
def test_displays_of_a_cross_validation_refuse_scores_without_folds(display_class, comparison):
    with pytest.raises(InputError, match=f"{display_class.__name__} needs scores of a cross-validation"):
        display_class.from_predictions([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])
    external = comparison.scores.query("evaluation == 'external'")
    with pytest.raises(InputError, match=f"{display_class.__name__} needs scores of a cross-validation"):
        display_class.from_comparison(ModelComparison(external))


@pytest.mark.parametrize("display_class", SHAPES)
@pytest.mark.parametrize(
    "names",
    [
        ("strong",),
        ("MRI + clinical", "MRI alone", "clinical alone"),
        ("CNN-LSTM of nine slices and seven clinical features", "random forest of the clinical features", "logistic"),
    ],
)
def test_texts_are_whole_and_do_not_overlap(display_class, names, comparison):
    strong = comparison.scores.query("model == 'strong'")
    scores = pd.concat([strong.assign(model=name) for name in names])
    display = display_class.from_comparison(ModelComparison(scores), title="made up")
    # Tick labels of two axes may touch in a corner.
    assert [pair for pair in overlapping(display.figure_) if not (is_number(pair[0]) and is_number(pair[1]))] == []
    width, height = display.figure_.bbox.size
    labels = [text for ax in display.axes_.flat for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
    legends = [legend for legend in (*display.figure_.legends, display.axes_.flat[0].get_legend()) if legend]
    for artist in [*filter(plt.Text.get_text, labels), *legends]:
        extent = artist.get_window_extent()
        assert extent.x0 >= -1
        assert extent.y0 >= -1
        assert extent.x1 <= width + 1
        assert extent.y1 <= height + 1


def is_number(text):
    return text.replace("\N{MINUS SIGN}", "").replace(".", "").isdigit()


def test_calibration(comparison):
    display = CalibrationCurveDisplay.from_comparison(comparison, n_bins=3)
    points = display.frame().query("model == 'strong' and evaluation == 'external'")
    assert len(points) == 3
    panel = display.axes_[1, 1]
    np.testing.assert_allclose(panel.containers[0].lines[0].get_xydata(), points[["predicted", "observed"]])
    bars = panel.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], points[["low", "high"]])
    assert panel.get_title().split("\n")[2] == "slope not estimable"
    intercept = comparison.calibration().query(
        "model == 'strong' and evaluation == 'external' and metric == 'intercept'"
    )
    assert f"intercept {intercept['value'].item():.2f} (" in panel.get_title()


def test_zeros_have_no_sign_and_what_is_not_known_has_no_limits(comparison):
    summary = comparison.calibration().assign(value=-0.001, low=-0.004, high=0.004, method="likelihood")
    is_slope = summary["metric"] == "slope"
    summary.loc[is_slope & (summary["model"] == "weak"), "method"] = "likelihood; not estimable from 9 patients"
    summary.loc[is_slope & (summary["model"] == "strong"), ["value", "low", "high"]] = np.nan, -np.inf, np.inf
    display = CalibrationCurveDisplay(curves=comparison.calibration_curves(), summary=summary).plot()
    for ax, slope in zip(display.axes_[1], ("not estimable", "undefined"), strict=True):
        assert ax.get_title().split("\n")[2:] == [f"slope {slope}", "intercept 0.00 (0.00 to 0.00)"]


def test_decision_curves(comparison):
    display = DecisionCurveDisplay.from_comparison(comparison, thresholds=[0.2, 0.4, 0.6])
    rows = display.frame().query("model == 'weak' and evaluation == 'cross-validation'")
    (legend,) = display.figure_.legends
    labels = [text.get_text() for text in legend.get_texts()]
    named = ["model, with 95 % interval", "other models", "all classified as PsPD", "none classified as PsPD"]
    assert labels[:4] == named
    other, treat_all, _, model, _ = display.axes_[0, 0].lines
    np.testing.assert_allclose(model.get_xydata(), rows[["threshold", "net_benefit"]])
    np.testing.assert_allclose(treat_all.get_ydata(), rows["treat_all"])
    strong = display.frame().query("model == 'strong' and evaluation == 'cross-validation'")
    np.testing.assert_allclose(other.get_ydata(), strong["net_benefit"])


def test_a_decision_curve_that_leaves_its_panel_is_marked(comparison):
    curves = comparison.decision_curves(thresholds=[0.2, 0.4, 0.6])
    for value, n_marks in ((0.1, 0), (-5.0, 3)):
        display = DecisionCurveDisplay(curves=curves.assign(net_benefit=value)).plot()
        for ax in display.axes_.flat:
            (marks,) = [line for line in ax.lines if line.get_marker() == "v"]
            assert len(marks.get_xdata()) == n_marks
            assert all(ax.get_ylim()[0] < height < ax.get_ylim()[1] for height in marks.get_ydata())
        labels = [text.get_text() for text in display.figure_.legends[0].get_texts()]
        assert ("model below the panel" in labels) == (n_marks > 0)


@pytest.mark.parametrize("display_class", [CalibrationCurveDisplay, DecisionCurveDisplay, FoldCurvesDisplay])
def test_panels_of_many_models_stay_large(display_class, comparison):
    strong = comparison.scores.query("model == 'strong'")
    scores = pd.concat([strong.assign(model=f"model {number}") for number in range(5)])
    display = display_class.from_comparison(ModelComparison(scores))
    assert display.axes_.shape == (2, 5)
    width, _ = display.figure_.get_size_inches()
    assert width < 10
    assert len(display.figure_.axes) == 10
    assert [bool(ax.get_ylabel()) for ax in display.axes_[0]] == [True, False, False, True, False]
    tops = [ax.get_position().y0 for ax in display.axes_[:, ::3].T.ravel()]
    assert tops == sorted(tops, reverse=True)
    assert [pair for pair in overlapping(display.figure_) if not all(map(is_number, pair))] == []


def test_comparison(comparison):
    display = ComparisonDisplay.from_comparison(comparison)
    pd.testing.assert_frame_equal(display.frame(), comparison.frame())
    auc = display.frame().query("metric == 'auc' and model == 'strong' and evaluation == 'external'").iloc[0]
    roc, precision_recall, interval = display.axes_[1]
    assert area_below(*roc.lines[1].get_data()) == pytest.approx(auc["value"])
    steps = precision_recall.lines[1]
    average = display.frame().query("metric == 'average_precision' and model == 'strong' and evaluation == 'external'")
    assert steps.get_drawstyle() == "steps-pre"
    area = np.sum(np.diff(steps.get_xdata()) * steps.get_ydata()[1:])
    assert area == pytest.approx(average["value"].item())
    np.testing.assert_allclose(interval.lines[2].get_xdata(), [auc["low"], auc["high"]])
    assert f"{auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})" in interval.texts[1].get_text()


def test_aucs_alone_are_those_of_the_comparison(comparison):
    display = AUCDisplay.from_comparison(comparison)
    beside = ComparisonDisplay.from_comparison(comparison).axes_[:, 2]
    assert drawn(display.axes_) == drawn(beside)
    assert [ax.get_title() for ax in display.axes_] == ["Cross-validation", "External"]
    assert set(display.frame()["metric"]) == {"auc"}


def test_thresholds(comparison):
    display = ThresholdDisplay.from_comparison(comparison)
    rows = display.frame()
    assert (rows["evaluation"] == "external").all()
    for ax, column in zip(display.axes_, ("threshold", "sensitivity", "specificity"), strict=True):
        points = [line for line in ax.lines if line.get_marker() == "o"]
        assert sorted(line.get_xdata()[0] for line in points) == sorted(rows[column])
        is_open = [line.get_markerfacecolor() == "white" for line in points]
        assert sum(is_open) == rows["is_optimistic"].sum() == 2


def test_fold_curves(comparison):
    display = FoldCurvesDisplay.from_comparison(comparison)
    table = display.frame()
    assert list(table) == ["model", "curve", "x", "y"]
    for column, model in enumerate(("weak", "strong")):
        folds = rows_of(comparison.scores, model=model, evaluation="cross-validation").groupby("fold")
        for ax, curve, score, name in zip(
            display.axes_[:, column],
            ("roc", "precision_recall"),
            (roc_auc_score, average_precision_score),
            ("AUC", "AUPRC"),
            strict=True,
        ):
            values = [score(rows["y_true"], rows["y_score"]) for _, rows in folds]
            thick = [line for line in ax.lines if line.get_linewidth() == 2.5]
            assert len(thick) == 1
            np.testing.assert_allclose(thick[0].get_xydata(), rows_of(table, model=model, curve=curve)[["x", "y"]])
            assert sum(line.get_linewidth() == 0.8 for line in ax.lines) == 4
            label = ax.get_legend().get_texts()[0].get_text()
            mean = f"mean of 4 of 4 folds\n{name} {np.mean(values):.2f} (SD {np.std(values, ddof=1):.2f})"
            metrics = rows_of(comparison.frame(), model=model, evaluation="cross-validation").set_index("metric")
            pooled = f"\npooled over folds: {metrics.loc['average_precision', 'value']:.2f}"
            assert label == mean + (pooled if name == "AUPRC" else "")


def test_fold_curves_leave_out_folds_with_one_outcome():
    y_true = [0, 1, 0, 1, 0, 0, 1, 1]
    fold = [1, 1, 2, 2, 3, 3, 4, 4]
    y_score = [0.1, 0.4, 0.5, 0.2, 0.3, 0.1, 0.9, 0.2]
    display = FoldCurvesDisplay.from_predictions(y_true, y_score, fold=fold)
    labels = [text.get_text() for text in display.axes_[0, 0].get_legend().get_texts()]
    assert labels == ["mean of 2 of 4 folds\nAUC 0.50 (SD 0.71)", "one fold", "chance"]
    assert display.axes_[1, 0].get_legend().get_texts()[2].get_text() == "prevalence 0.50"
    # One fold ranks right, one wrong: half way up between both.
    roc = display.frame().query("curve == 'roc'")
    assert roc[["x", "y"]].to_numpy().tolist() == [[0, 0], [0, 0.5], [1, 0.5], [1, 1]]

    alone = FoldCurvesDisplay.from_predictions(y_true, y_score, fold=range(8))
    assert alone.axes_[0, 0].get_legend().get_texts()[0].get_text() == "none of 8 folds has\nboth outcomes"
    assert alone.frame().empty


def test_confusion_matrices(comparison):
    display = ConfusionMatrixDisplay.from_comparison(comparison)
    table = display.frame()
    assert len(table) == 2 * 2 * 4
    for row, evaluation in enumerate(("cross-validation", "external")):
        for column, model in enumerate(("weak", "strong")):
            scores = rows_of(comparison.scores, model=model, evaluation=evaluation)
            predicted = (scores["y_score"] >= scores["threshold"]).astype(int)
            counts = confusion_matrix(scores["y_true"], predicted)
            proportions = confusion_matrix(scores["y_true"], predicted, normalize="true")
            cells = rows_of(table, model=model, evaluation=evaluation)
            by_class = cells.pivot_table(index="true", columns="predicted", values=["n", "proportion"])
            np.testing.assert_array_equal(by_class["n"], counts)
            np.testing.assert_allclose(by_class["proportion"], proportions)
            ax = display.axes_[row, column]
            np.testing.assert_allclose(ax.images[0].get_array(), proportions)
            places = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
            expected = {(i, j): f"{counts[i, j]}\n{100 * proportions[i, j]:.0f} %" for i in range(2) for j in range(2)}
            assert places == expected


def test_a_score_at_the_threshold_is_classified_as_pspd():
    cells = ConfusionMatrixDisplay.from_predictions([0, 1], [0.4, 0.5], threshold=[0.5, 0.5]).frame()
    assert cells["n"].tolist() == [1, 0, 0, 1]
    cells = ConfusionMatrixDisplay.from_predictions([0, 1], [0.4, 0.5], threshold=[0.4, 0.6]).frame()
    assert cells["n"].tolist() == [0, 1, 1, 0]


def test_negative_controls():
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 1)) + 2 * y[:, np.newaxis]
    control = negative_control(LogisticRegression(), X, y, n_permutations=19, cv=4, random_state=0)
    _, ax = plt.subplots()
    display = NegativeControlDisplay.from_controls({"a": control, "b": control}, ax=ax, title="made up")
    assert display.ax_ is ax
    assert ax.get_title() == "made up"
    table = display.frame()
    assert table["name"].tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(table.drop(columns="name")[:1], control.frame())
    np.testing.assert_allclose(ax.lines[0].get_xdata(), control.permutation_scores)
    assert ax.lines[1].get_xdata()[0] == control.score == table["score"][0]
    assert "p = 0.05\n(smallest possible 0.05)" in [text.get_text() for text in ax.texts]
    assert ax.get_xlim() == (0, 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["permuted data", "original data"]


def test_negative_controls_on_an_external_set():
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 1)) + 2 * y[:, np.newaxis]
    external = {"X_test": X[30:], "y_test": y[30:]}
    control = negative_control(LogisticRegression(), X[:30], y[:30], n_permutations=2, cv=3, random_state=0, **external)
    ax = NegativeControlDisplay.from_controls({"a": control}).ax_
    np.testing.assert_allclose(ax.lines[2].get_xdata(), control.external_permutation_scores)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "a\n(external)"]
    assert {text.get_text() for text in ax.texts} == {"too few permutations\nfor a p-value"}


def test_the_area_below_the_mean_curve_is_the_auc(comparison):
    display = ComparisonDisplay.from_comparison(comparison)
    rows = display.frame().query("evaluation == 'cross-validation' and metric == 'auc'").set_index("model")
    for line, model in zip(display.axes_[0, 0].lines, comparison.scores["model"].unique(), strict=False):
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(rows.loc[model, "value"])


def test_scores_beyond_zero_and_one_are_in_the_figure():
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 1)) + 2 * y[:, np.newaxis]
    control = negative_control(
        LogisticRegression(), X, y, n_permutations=3, cv=4, scoring="neg_log_loss", random_state=0
    )
    low, high = NegativeControlDisplay.from_controls({"logistic": control}).ax_.get_xlim()
    assert low < control.permutation_scores.min()
    assert control.score < high
