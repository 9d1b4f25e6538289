"""What a fitted model reads: its steps, clinical columns, images and arithmetic."""

import copy

from sklearn_pspd.cohort import IDENTITY_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.loading.loader import further_images_of

NO_CLINICAL = (*IDENTITY_COLUMNS, *POSITION_COLUMNS, "outcome")


def steps_of(model):
    """Yield a fitted model and all of its steps, those of its branches included; a search gives way to its best one."""
    model = getattr(model, "best_estimator_", model)
    yield model
    inner = [step for _, step in getattr(model, "steps", ())]
    inner += [branch for _, branch, _ in getattr(model, "transformers_", ())]
    for step in inner:
        if step is not None and not isinstance(step, str):
            yield from steps_of(step)


def find_step(model, kind):
    """Return the first step of a class, or None."""
    return next((step for step in steps_of(model) if isinstance(step, kind)), None)


def clinical_names(model, X):
    """Return the names of the columns that a model reads, apart from patient, image and position of the lesion."""
    branches = [entry for step in steps_of(model) for entry in getattr(step, "transformers_", ())]
    if branches:
        used = [columns for _, branch, columns in branches if not (isinstance(branch, str) and branch == "drop")]
        names = [name for columns in used for name in columns if isinstance(name, str)]
    else:
        names = list(getattr(model, "feature_names_in_", ()))
    of_images = (*NO_CLINICAL, *further_images_of([model]))
    return [name for name in dict.fromkeys(names) if name in X.columns and name not in of_images]


def arithmetic_of(model):
    """Return the precision of a model's network, or None if it has no network."""
    found = (getattr(step, "precision_", None) for step in steps_of(model))
    return next((precision for precision in found if precision), None)


def without_caches(model):
    """Return a copy of a model whose steps have no cache, so that no path of this machine leaves with it."""
    model = copy.deepcopy(getattr(model, "best_estimator_", model))
    for step in steps_of(model):
        # A ColumnTransformer also keeps the branches that it was made of, which were not fitted.
        for part in (step, *(branch for _, branch, _ in getattr(step, "transformers", ()))):
            known = part.get_params() if hasattr(part, "get_params") else {}
            caches = [name for name, value in known.items() if name.rsplit("__", 1)[-1] == "memory" and value]
            if caches:
                part.set_params(**dict.fromkeys(caches))
    return model
