"""The models of a study: the recommended networks, the published one, and baselines."""

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.pipelines import CLINICAL, FUSION, IMAGE, make_fusion_pipeline, paper_models

PUBLISHED = "MRI + clinical, published"
# The forest of the paper is a model of its own; radiomics, components and frozen features are added by the user.
BASELINES = ("clinical ridge", "prevalence")
RECIPES = ("both", "small_cohort", "published")


def study_models(
    *,
    recipe="both",
    variant=None,
    n_members=5,
    clinical=None,
    missing="refuse",
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
    memory=None,
    random_state=None,
    n_jobs=None,
):
    """Make the models of a study, by the names that tables and figures show.

    Parameters
    ----------
    recipe : {"both", "small_cohort", "published"}, default="both"
        "both" trains the two networks of the paper by the recipe for small cohorts, and its fusion network once more as
        published, as a reference. The others train both networks by one recipe.
    variant : {"paper", "released"}, default=None
        Makes the paper's three models with the published parameters of this variant instead, without baselines.
    n_members : int, default=5
        Networks that are trained from different seeds in each fit; their mean log odds are the prediction.
    clinical : sequence of str or ClinicalColumn, default=None
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    n_slices : int, default=9
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    size_px : int, default=256
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    fov_mm : float, default=200.0
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    slice_spacing_mm : float, default=None
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    further_images : sequence of str, default=()
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    allow_sequence : bool or collection of str, default=False
        As in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded slice stacks, shared by all models.
    random_state : int, RandomState instance or None, default=None
        Seed of the networks, of the forest and of the regression's inner folds.
    n_jobs : int, default=None
        Processes that read images, and threads that grow trees.

    Returns
    -------
    dict of str to sklearn.pipeline.Pipeline
        The first is the model that paired tests compare with each other one.

    Raises
    ------
    InputError
        If there is no such recipe or variant, or a recipe is given with a variant.

    Examples
    --------
    >>> from sklearn_pspd.study import study_models
    >>> list(study_models(size_px=64, random_state=0))[:4]
    ['MRI + clinical', 'MRI alone', 'MRI + clinical, published', 'clinical alone']
    """
    from sklearn_pspd.baselines import baseline_models
    from sklearn_pspd.neural_network import CNNLSTMClassifier

    if recipe not in RECIPES:
        raise InputError(f"recipe must be one of {', '.join(map(repr, RECIPES))}; got {recipe!r}")
    if variant is not None and recipe != "both":
        raise InputError(f"variant={variant!r} and recipe={recipe!r} set the same parameters; choose one")
    network = CNNLSTMClassifier(random_state=random_state)
    columns = {"clinical": clinical, "missing": missing}
    images = {"n_slices": n_slices, "size_px": size_px, "fov_mm": fov_mm, "slice_spacing_mm": slice_spacing_mm}
    images |= {"further_images": further_images, "allow_sequence": allow_sequence, "memory": memory, "n_jobs": n_jobs}
    is_published = variant is not None or recipe == "published"
    trained_by = {"variant": variant, "recipe": "published" if is_published else "small_cohort"}
    models = paper_models(network, random_state=random_state, **trained_by, **columns, **images)
    if variant is None:
        published = {PUBLISHED: make_fusion_pipeline(network, **columns, **images)} if recipe == "both" else {}
        models = {FUSION: models[FUSION], IMAGE: models[IMAGE], **published, CLINICAL: models[CLINICAL]}
        models |= baseline_models(BASELINES, random_state=random_state, n_jobs=n_jobs, **columns)
    for model in models.values():
        if "classifier__n_members" in model.get_params():
            model.set_params(classifier__n_members=n_members)
    return models
