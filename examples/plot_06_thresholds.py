"""
Thresholds without leaks
========================

From which probability on should a patient be called PsPD?

Jang et al. (2018) took the threshold at which sensitivity and specificity are equal *on the test set*: it has seen the
outcomes that it is then judged by. Here it is learned from training patients and frozen. The cohort is **synthetic**.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline

from sklearn_pspd import ClinicalMinMaxScaler, compare_models, make_clinical_pipeline, make_cohort, split_xy
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.model_selection import equal_error_score, learn_threshold, optimistic_threshold
from sklearn_pspd.plotting import ThresholdDisplay

folder = tempfile.TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 78, matrix_px=(48,), n_native_slices=10, random_state=3)
training, external = cohort[cohort["site"] == "A"], cohort[cohort["site"] == "B"]
X, y = split_xy(training)
X_test, y_test = split_xy(external)

# %%
# A classifier that carries its threshold along
# ---------------------------------------------
# scikit-learn learns the threshold from out-of-fold scores; the rule is a score to maximise.
scale = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
logistic = make_pipeline(scale, LogisticRegression(C=10))
tuned = TunedThresholdClassifierCV(logistic, scoring=make_scorer(equal_error_score), cv=5).fit(X, y)
print(f"PsPD from a probability of {tuned.best_threshold_:.2f} on; calls: {tuned.predict(X_test)}")

# %%
# How much a threshold owes to the patients at hand
# -------------------------------------------------
# ``thresholds()`` learns one for each model and rule from the scores of the cross-validation, with its spread over
# bootstrap resamples, and applies it to the held-out site.
models = {"logistic regression": logistic, "random forest": make_clinical_pipeline(random_state=0)}
comparison = compare_models(models, X, y, cv=5, X_test=X_test, y_test=y_test, random_state=0)
ThresholdDisplay.from_comparison(comparison, title="Synthetic cohort")

# %%
# What the test set's own threshold promises
# ------------------------------------------
# Two thousand test sets of 11 PD and 8 PsPD patients, with scores of an AUC of 0.75: the smaller of sensitivity and
# specificity, at the threshold of the test set itself and at one learned from 59 other patients.
rng = np.random.default_rng(0)


def draw(n_pd, n_pspd):
    """Outcomes and scores."""
    outcome = np.repeat([0, 1], [n_pd, n_pspd])
    return outcome, rng.normal(size=len(outcome)) + 0.954 * outcome


def worse_of_both(outcome, score, threshold):
    """The smaller of sensitivity and specificity."""
    called = score >= threshold
    return min(called[outcome == 1].mean(), (~called)[outcome == 0].mean())


promised, kept = [], []
for _ in range(2000):
    others, test = draw(37, 22), draw(11, 8)
    promised.append(worse_of_both(*test, optimistic_threshold(*test)))
    kept.append(worse_of_both(*test, learn_threshold(*others, n_resamples=1).value))

figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
bins = np.arange(-0.05, 1.1, 0.1)
colours = {"threshold of the test set": "#D55E00", "threshold of other patients": "#0072B2"}
axis.hist([promised, kept], bins, label=list(colours), color=list(colours.values()))
for values, colour in zip([promised, kept], colours.values(), strict=True):
    axis.axvline(np.mean(values), color=colour, linestyle="--")
axis.set(xlabel="Smaller of sensitivity and specificity", ylabel="Simulated test sets")
axis.set_title("8 PsPD and 11 PD, AUC 0.75; dashed: means")
axis.legend(frameon=False)
print(f"promised {np.mean(promised):.2f}, kept {np.mean(kept):.2f}")

folder.cleanup()
