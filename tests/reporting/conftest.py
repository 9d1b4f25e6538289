"""A study with quick models, and the same with six models of which three are ensembles."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import ModelComparison, Study, make_clinical_pipeline, read_cohort
from sklearn_pspd.study import study_models

TITLE = "Synthetic <cohort> & nothing else"


@pytest.fixture(scope="session")
def quick(cohort_folder):
    """Three clinical models, cross-validated and on a held-out site, with a negative control of one of them."""
    forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5)
    models = {
        "logistic": make_clinical_pipeline(LogisticRegression(C=0.5)),
        "forest": forest,
        "age": make_clinical_pipeline(LogisticRegression(), clinical=["age_years"]),
    }
    cohort = read_cohort(cohort_folder / "cohort.csv")
    return Study(cohort, models, cv=3, n_permutations=2, controlled=["age"], title=TITLE).run()


@pytest.fixture(scope="session")
def six(quick):
    """The recommended models with drawn scores: nothing is trained."""
    models = study_models(size_px=16, random_state=0)
    patients = quick.comparison.scores.query("model == 'logistic'")
    rng = np.random.default_rng(0)
    tables = []
    for name, model in models.items():
        log_odds = 0.8 * (patients["y_true"] - 0.4) + rng.normal(size=len(patients))
        n_members = 3 if "classifier__n_members" in model.get_params() else 0
        members = [log_odds + 0.4 * rng.normal(size=len(patients)) for _ in range(n_members)]
        for replicate, of_replicate in enumerate([np.mean(members or [log_odds], axis=0), *members]):
            scores = {"model": name, "replicate": replicate, "y_score": 1 / (1 + np.exp(-of_replicate))}
            tables.append(patients.assign(**scores))
    comparison = ModelComparison(pd.concat(tables, ignore_index=True), external_uses=quick.comparison.external_uses)
    networks = [name for name, model in models.items() if "classifier__n_members" in model.get_params()]
    computed = {"arithmetic": dict.fromkeys(networks, "float32"), "device": "2 CPU cores"}
    settings = quick.settings | {"models": models} | computed
    return replace(quick, comparison=comparison, tables=comparison.tables(), settings=settings)
