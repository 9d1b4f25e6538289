"""The reference page, written from the ``__all__`` of each room, so that no list of names is kept by hand."""

import pkgutil
from importlib import import_module

import sklearn_pspd

INTRODUCTION = """\
Reference
=========

Names that a study script needs can be imported from ``sklearn_pspd`` itself, all others from their room, for example
``from sklearn_pspd.statistics import roc_auc``. Importing ``sklearn_pspd`` loads neither TensorFlow nor matplotlib.
"""


def rooms():
    """Return the public rooms, which are the modules and packages with ``__all__``, and their names."""
    found = {}
    for module in pkgutil.iter_modules(sklearn_pspd.__path__):
        if not module.name.startswith("_"):
            names = getattr(import_module(f"sklearn_pspd.{module.name}"), "__all__", None)
            if names:
                found[module.name] = list(names)
    # In the order of the package's own map, then by name.
    order = dict.fromkeys([*sklearn_pspd._ROOMS, *sorted(found)])
    return {room: found[room] for room in order if room in found}


def documented(room, names):
    """Return the names of classes and functions; constants have no docstring."""
    home = import_module(f"sklearn_pspd.{room}")
    return [name for name in names if callable(getattr(home, name))]


def reference_page():
    """Return the page as reStructuredText: one section per room, with its docstring and its names."""
    return "\n".join([INTRODUCTION, *(_section(room, names) for room, names in rooms().items())])


def _section(room, names):
    title = f"sklearn_pspd.{room}"
    lines = [title, "-" * len(title), "", import_module(title).__doc__.strip().splitlines()[0], ""]
    exported = [name for name in names if name in sklearn_pspd.__all__]
    listed = documented(room, names)
    for heading, of_heading in (
        ("From ``sklearn_pspd`` itself", exported),
        ("Constants", [name for name in names if name not in listed]),
    ):
        if of_heading:
            lines += [f"{heading}: {', '.join(f'``{name}``' for name in of_heading)}.", ""]
    lines += [".. autosummary::", "   :toctree: generated", "   :nosignatures:", ""]
    order = [*exported, *(name for name in sorted(listed) if name not in exported)]
    return "\n".join([*lines, *(f"   ~{title}.{name}" for name in order), ""])
