"""
Thresholds: from which probability on is it PsPD?
=================================================

*At which predicted probability should a patient be classified as PsPD, and on which patients may I choose it?*

Jang et al. (2018) used the threshold at which sensitivity and specificity are equal *on the test set*: it was chosen
with the outcomes on which it is then evaluated. Here the threshold is learned from training patients and then kept
fixed. The cohort is **synthetic**.
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
# A classifier that includes its threshold
# ----------------------------------------
# scikit-learn learns the threshold from out-of-fold scores; the rule is a score to maximise.
scale = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
logistic = make_pipeline(scale, LogisticRegression(C=10))
tuned = TunedThresholdClassifierCV(logistic, scoring=make_scorer(equal_error_score), cv=5).fit(X, y)
print(f"classified as PsPD at a probability of at least {tuned.best_threshold_:.2f}: {tuned.predict(X_test)}")

# %%
# Sampling variability of a threshold
# -----------------------------------
# ``thresholds()`` learns one threshold per model and rule from the scores of the cross-validation, estimates its
# variability over bootstrap resamples, and applies it to the held-out site. Each row of the figure is a rule; the last
# one, with open points, takes the threshold from the test patients themselves.
models = {"logistic regression": logistic, "random forest": make_clinical_pipeline(random_state=0)}
comparison = compare_models(models, X, y, cv=5, X_test=X_test, y_test=y_test, random_state=0)
ThresholdDisplay.from_comparison(comparison, title="Synthetic cohort: thresholds and what they do at another site")

# %%
# Optimism of a threshold chosen on the test set
# ----------------------------------------------
# We simulate two thousand test sets of 11 patients with PD and 8 with PsPD, with scores of a true AUC of 0.75, and
# compare the smaller of sensitivity and specificity at two thresholds: one chosen on the test set itself, and one
# learned from 59 other patients. Dashed lines in the figure are the means over all test sets.
rng = np.random.default_rng(0)


def draw(n_pd, n_pspd):
    """Draw outcomes and scores."""
    outcome = np.repeat([0, 1], [n_pd, n_pspd])
    return outcome, rng.normal(size=len(outcome)) + 0.954 * outcome


def smaller_of_both(outcome, score, threshold):
    """Return the smaller of sensitivity and specificity."""
    is_predicted_pspd = score >= threshold
    return min(is_predicted_pspd[outcome == 1].mean(), (~is_predicted_pspd)[outcome == 0].mean())


chosen, learned = [], []
for _ in range(2000):
    others, test = draw(37, 22), draw(11, 8)
    chosen.append(smaller_of_both(*test, optimistic_threshold(*test)))
    learned.append(smaller_of_both(*test, learn_threshold(*others, n_resamples=1).value))

# sphinx_gallery_thumbnail_number = 2
plt.rcParams["font.size"] = 14
figure, axis = plt.subplots(figsize=(6.6, 4.6), layout="constrained")
bins = np.arange(-0.05, 1.1, 0.1)
colours = {"chosen on the test set": "#D55E00", "learned from other patients": "#0072B2"}
axis.hist([chosen, learned], bins, label=list(colours), color=list(colours.values()))
for values, colour in zip([chosen, learned], colours.values(), strict=True):
    axis.axvline(np.mean(values), color=colour, linestyle="--", linewidth=3)
axis.set(xlabel="smaller of sensitivity and specificity", ylabel="simulated test sets")
axis.set_title("A threshold chosen on the test set looks too good", fontsize=14)
figure.legend(frameon=False, loc="outside lower center", title="threshold")
print(f"mean: {np.mean(chosen):.2f} chosen on the test set, {np.mean(learned):.2f} learned from other patients")

folder.cleanup()
