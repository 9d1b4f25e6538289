"""The package as a whole: what an import costs and touches, and where its parts come from."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_pspd

SOURCES = sorted(Path(sklearn_pspd.__file__).parent.rglob("*.py"))
HEAVY = "{'tensorflow', 'keras', 'scikeras', 'jax', 'torch'} & set(sys.modules)"


def test_import_is_light_and_leaves_the_process_alone():
    code = """
import logging, sys, warnings
before = list(warnings.filters), logging.getLogger().level, logging.getLogger("tensorflow").level
import sklearn_pspd
heavy = {"tensorflow", "keras", "scikeras", "matplotlib", "torch"} & set(sys.modules)
assert not heavy, heavy
assert before == (list(warnings.filters), logging.getLogger().level, logging.getLogger("tensorflow").level)
from sklearn_pspd import CNNLSTMClassifier, make_cohort
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_library_modules_set_no_filters():
    code = """
import tensorflow, keras, scikeras.wrappers, sklearn.ensemble, imblearn.pipeline, nibabel, pydicom, matplotlib.pyplot
import scipy.stats, joblib, sklearn.compose, sklearn.model_selection, pandas
import logging, os, warnings
before = list(warnings.filters), logging.getLogger("tensorflow").level, dict(os.environ)
import sklearn_pspd.neural_network.classifier, sklearn_pspd.pipelines, sklearn_pspd.datasets, sklearn_pspd.plotting
import sklearn_pspd.model_selection, sklearn_pspd.loading, sklearn_pspd.study, sklearn_pspd.reporting
assert before[0] == list(warnings.filters)
assert before[1:] == (logging.getLogger("tensorflow").level, dict(os.environ))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "code",
    [
        "from sklearn_pspd import make_clinical_pipeline; make_clinical_pipeline()",
        "import sklearn_pspd.plotting, sklearn_pspd.reporting, sklearn_pspd.statistics, sklearn_pspd.datasets",
        "from sklearn_pspd.plotting import FlowDisplay, ComparisonDisplay\n"
        "ComparisonDisplay.from_predictions([0, 1, 0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8, 0.2, 0.9])",
        "import sklearn_pspd.study, sklearn_pspd.persistence, sklearn_pspd.__main__",
    ],
    ids=["clinical pipeline", "rooms without a network", "a display", "study"],
)
def test_what_needs_no_network_loads_no_tensorflow(code):
    subprocess.run([sys.executable, "-c", f"import sys\n{code}\nassert not {HEAVY}, {HEAVY}"], check=True)


def test_a_clinical_study_and_a_saved_forest_need_no_tensorflow(cohort_folder, tmp_path):
    code = f"""
import sys
from sklearn_pspd import Study, load_pipeline, make_clinical_pipeline, read_cohort, save_pipeline
forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5)
study = Study(read_cohort({str(cohort_folder / "cohort.csv")!r}), {{"clinical alone": forest}}, cv=2)
result = study.run()
assert "Cross-validation: 2 folds" in result.report()
save_pipeline(result.models_["clinical alone"], {str(tmp_path / "forest.skops")!r})
assert load_pipeline({str(tmp_path / "forest.skops")!r}).predict_proba(study.X).shape == (len(study.X), 2)
assert not {HEAVY}, {HEAVY}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    for name in sklearn_pspd.__all__:
        assert getattr(sklearn_pspd, name) is not None
    assert set(sklearn_pspd.__all__) <= set(dir(sklearn_pspd))


def private_imports(source):
    """List what a module imports of scikit-learn that has a leading underscore, in module or name."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sklearn":
            parts = [*node.module.split("."), *(alias.name for alias in node.names)]
            if any(part.startswith("_") for part in parts):
                yield f"{source.name}: from {node.module} import {', '.join(alias.name for alias in node.names)}"


def test_private_parts_of_scikit_learn_come_from_one_module():
    found = [line for source in SOURCES if source.name != "_sklearn.py" for line in private_imports(source)]
    assert found == []
    (compatibility,) = (source for source in SOURCES if source.name == "_sklearn.py")
    assert list(private_imports(compatibility)), "the search finds nothing where there is something"
