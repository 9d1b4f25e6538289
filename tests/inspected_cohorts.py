"""Synthetic cohorts with a known truth, and small networks for them."""

from sklearn_pspd import CNNLSTMClassifier, make_cohort, split_xy

N_TRAIN = 60
IMAGES = {"n_slices": 3, "size_px": 24, "fov_mm": 190.0}


def small_network(**parameters):
    settings = {
        "filters": (4, 8),
        "optimizer": "adam",
        "pooling": "average",
        "learning_rate": 0.01,
        "lstm_units": 6,
        "dense_units": (8,),
        "epochs": 15,
        "random_state": 0,
    }
    return CNNLSTMClassifier(**settings | parameters)


def draw(tmp_path_factory, name, n_patients=100, **options):
    """Return the table and the outcomes of a cohort with masks, in random order."""
    folder = tmp_path_factory.mktemp(name)
    options = {"matrix_px": (128,), "n_native_slices": 10, "lesion_position": "mask", "random_state": 0} | options
    return split_xy(make_cohort(folder / "cohort", n_patients, **options))
