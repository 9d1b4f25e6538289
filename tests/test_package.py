"""The package as a whole: what an import costs and touches."""

import subprocess
import sys

import sklearn_pspd


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
import sklearn_pspd.model_selection, sklearn_pspd.loading
assert before[0] == list(warnings.filters)
assert before[1:] == (logging.getLogger("tensorflow").level, dict(os.environ))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    for name in sklearn_pspd.__all__:
        assert getattr(sklearn_pspd, name) is not None
    assert set(sklearn_pspd.__all__) <= set(dir(sklearn_pspd))
