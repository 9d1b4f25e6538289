"""Models in plain English, from their parameters."""

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS

SEQUENCES = {
    "lstm": "an LSTM with {lstm_units} units reads the slices from feet to head",
    "attention": "the vectors of the slices are averaged with weights of gated attention ({lstm_units} units)",
    "mean": "the vectors of the slices are averaged",
}
POOLINGS = {"flatten": "every pixel of the last feature maps is kept", "average": "each feature map is averaged"}
OPTIMISERS = {"sgd": "stochastic gradient descent", "adam": "Adam"}
# Random transforms of training, by parameter of StackAugmenter: those with strength 0 are left out.
TRANSFORMS = {
    "mirror": "exchange of left and right with probability {:g}",
    "reverse": "reversal of the slices with probability {:g}",
    "rotation_deg": "rotation by up to {:g} degrees",
    "shift_mm": "shifts by up to {:g} mm",
    "zoom": "changes of size by up to {:.0%}",
    "gamma": "changes of the grey-value exponent by up to {:.0%}",
    "bias_field": "a smooth change of brightness by up to {:.0%}",
    "noise": "noise of up to {:g} standard deviations",
}


def model_sentences(models, columns):
    """Describe models in plain English.

    Parameters
    ----------
    models : dict of str to estimator
        Unfitted models of a study, by name.
    columns : sequence of str
        Clinical columns of the study, which a model uses that names none.

    Returns
    -------
    dict of str to str
        One or two sentences per model, without its name.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> from sklearn_pspd.reporting.models import model_sentences
    >>> model = make_clinical_pipeline(LogisticRegression(C=0.5), clinical=["age_years"])
    >>> print(model_sentences({"logistic": model}, ["age_years", "sex"])["logistic"])
    Input: the clinical column age_years. Logistic regression (LogisticRegression, C = 0.5).
    """
    return {name: _described(model, columns) for name, model in models.items()}


def image_sentence(models):
    """Describe how images are prepared, if a model reads them.

    Parameters
    ----------
    models : dict of str to estimator
        Unfitted models of a study, by name.

    Returns
    -------
    str
        One sentence per way of preparing them; empty if no model reads images.
    """
    found = {}
    for name, model in models.items():
        parameters = parameters_of(model)
        if "features__mri__fov__size_px" in parameters:
            found.setdefault(_image_text(parameters), []).append(name)
    if len(found) == 1:
        return next(iter(found))
    return " ".join(f"{', '.join(names)}: {text}" for text, names in found.items())


def clinical_sentence(models):
    """Describe how clinical columns are prepared, if a model uses them.

    Parameters
    ----------
    models : dict of str to estimator
        Unfitted models of a study, by name.

    Returns
    -------
    str
        Empty if no model uses them.
    """
    for model in models.values():
        parameters = parameters_of(model)
        if parameters.get("features__clinical__missing"):
            missing = {
                "refuse": "the table had to be complete",
                "median": "missing numbers were replaced by the median of the training fold",
                "indicator": "missing numbers were replaced by the median of the training fold, with an indicator",
            }[parameters["features__clinical__missing"]]
            clipped = ", and values outside it were set to its nearest value" * parameters["features__clinical__clip"]
            rule = parameters["features__clinical__unknown"]
            return (
                f"Clinical columns were scaled to [0, 1] by the range of the training fold{clipped}; {missing}; "
                f'unknown categories were encoded by the rule "{rule}".'
            )
    return ""


def inner_model(model):
    """Return the model inside a search; any other model as it is.

    Parameters
    ----------
    model : estimator
        A model of a study.

    Returns
    -------
    estimator
        The pipeline or classifier that is tuned.
    """
    is_search = hasattr(model, "max_epochs") or hasattr(model, "param_grid") or hasattr(model, "param_distributions")
    return model.estimator if is_search else model


def classifier_of(model):
    """Return the last step of a model.

    Parameters
    ----------
    model : estimator
        A model of a study.

    Returns
    -------
    estimator
        The classifier.
    """
    inner = inner_model(model)
    return inner.steps[-1][1] if hasattr(inner, "steps") else inner


def parameters_of(model):
    """Return the parameters of a model, or of the one inside a search.

    Parameters
    ----------
    model : estimator
        A model of a study.

    Returns
    -------
    dict of str to object
        By name; empty for what has none.
    """
    inner = inner_model(model)
    return inner.get_params() if hasattr(inner, "get_params") else {}


def _described(model, columns):
    classifier, inputs = classifier_of(model), _inputs(model, columns)
    kind = type(classifier).__name__
    if kind == "DummyClassifier":
        text = _constant(classifier)
    elif kind == "CNNLSTMClassifier":
        text = f"{inputs}{_network(classifier, has_clinical='clinical column' in inputs)}"
    else:
        text = f"{inputs}{DESCRIPTIONS.get(kind, _named)(classifier)}"
    return f"{text}.{_tuning(model)}"


def _tuning(model):
    if inner_model(model) is model:
        return ""
    if hasattr(model, "max_epochs"):
        epochs = "; the number of epochs is that of the lowest mean validation loss" if model.max_epochs else ""
        return f" Tuned inside each training fold, one parameter after another{epochs}."
    return f" Tuned inside each training fold ({type(model).__name__})."


def _inputs(model, columns):
    parameters = parameters_of(model)
    parts = []
    if "features__mri__load__n_slices" in parameters:
        parts.append(f"{parameters['features__mri__load__n_slices']} axial slices of the MRI")
    parts += [_clinical_input(names) for names in _clinical_names(parameters, columns)]
    return f"Input: {' and '.join(parts)}. " if parts else ""


def _clinical_input(names):
    if len(names) == 1:
        return f"the clinical column {names[0]}"
    return f"the clinical columns {', '.join(names)}"


def _clinical_names(parameters, columns):
    for name, _, selected in parameters.get("features__transformers") or []:
        if name == "clinical":
            chosen = getattr(selected, "names", None)
            yield list(chosen) if chosen else [column for column in columns if column in CLINICAL_COLUMNS]


def _image_text(parameters):
    load, fov = "features__mri__load__", "features__mri__fov__"
    spacing = parameters[f"{load}slice_spacing_mm"]
    spaced = "adjacent slices of the image" if spacing is None else f"{spacing:g} mm apart, interpolated linearly"
    standardised = {
        "unit_variance": "zero mean and unit variance",
        "unit_norm": "zero mean and unit norm",
    }[parameters["features__mri__standardize__norm"]]
    side = parameters[f"{fov}size_px"]
    further = parameters[f"{load}further_images"]
    of_images = f" of the image and of {_listed(further)}, registered on one grid" if further else ""
    return (
        f"{parameters[f'{load}n_slices']} axial slices per patient{of_images}, {spaced}, the middle one through the "
        "lesion, were "
        f"resampled ({parameters[f'{fov}method']} interpolation) to {side} x {side} px in a field of view of "
        f"{parameters[f'{fov}fov_mm']:g} mm and scaled per {parameters['features__mri__standardize__scope']} to "
        f"{standardised}."
    )


def _network(network, has_clinical):
    p = network.get_params()
    kernel = p["kernel_size"]
    blocks = f"{len(p['filters'])} convolution blocks ({_listed(p['filters'])} filters of {kernel} x {kernel} px)"
    layers = [blocks, POOLINGS[p["pooling"]], SEQUENCES[p["sequence"]].format(**p)]
    if has_clinical and len(p["clinical_units"]):
        layers.append(f"clinical columns pass dense layers of {_listed(p['clinical_units'])} units")
    layers.append(f"dense layers of {_listed(p['dense_units'])} units lead to the probability")
    rate = f"learning rate {p['learning_rate']:g}"
    rate += ", falling to nearly zero along a cosine" if p["schedule"] == "cosine" else ", constant"
    momentum = f" with momentum {p['momentum']:g}" if p["momentum"] else ""
    training = [f"{OPTIMISERS[p['optimizer']]}{momentum}", rate, f"batches of {p['batch_size']} patients"]
    training.append(f"{p['epochs']} epochs" + (" at most, with early stopping" if p["early_stopping"] else ""))
    training += [text for text in _extras(p) if text]
    members = ""
    if p["n_members"] > 1:
        members = f" {p['n_members']} networks from different seeds; their mean log odds are the prediction"
    text = f"Network: {'; '.join(layers)}. Training: {', '.join(training)}"
    return f"{text}.{members}" if members else text


def _extras(p):
    yield f"dropout of {p['dropout']:g}" if p["dropout"] else ""
    yield f"class weights ({p['class_weight']})" if p["class_weight"] else ""
    if p["augment"] is None:
        yield "no augmentation"
        return
    strengths = p["augment"].get_params()
    used = [text.format(strengths[name]) for name, text in TRANSFORMS.items() if strengths.get(name)]
    used = [text.replace("%", " %") for text in used]
    yield f"random transforms of the stacks ({', '.join(used)})" if used else ""


def _forest(forest):
    features = f", {forest.max_features} features considered at each split" if forest.max_features else ""
    return f"Random forest of {forest.n_estimators} trees{features}"


def _penalised(regression):
    mixtures = tuple(regression.l1_ratios or (0.0,))
    penalty = "ridge" if mixtures == (0.0,) else "elastic-net"
    return f"Logistic regression with a {penalty} penalty, whose strength inner folds of the training fold select"


def _constant(dummy):
    if dummy.strategy == "prior":
        return "The proportion of PsPD in the training fold, for every patient"
    return _named(dummy)


def _logistic(regression):
    return f"Logistic regression ({_named(regression)})"


def _named(estimator):
    """Return the class of an estimator and the parameters that differ from its defaults."""
    changed = []
    if hasattr(estimator, "get_params"):
        try:
            defaults = type(estimator)().get_params(deep=False)
        except TypeError:
            defaults = {}
        given = estimator.get_params(deep=False)
        changed = [
            f"{name} = {value}"
            for name, value in given.items()
            if name in defaults and repr(value) != repr(defaults[name])
        ]
    return ", ".join([type(estimator).__name__, *changed])


def _listed(values):
    *first, last = map(str, values) if values else ("no",)
    return f"{', '.join(first)} and {last}" if first else last


DESCRIPTIONS = {
    "RandomForestClassifier": _forest,
    "LogisticRegressionCV": _penalised,
    "LogisticRegression": _logistic,
}
