"""Settings of the documentation's build."""

import os
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

# Before TensorFlow is imported anywhere: no notices; and the kernels that let the examples train twice as fast.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

from sphinx_gallery import backreferences

import sklearn_pspd

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
from reference import reference_page

INVENTORIES = DOCS / "_build" / "inventories"

project = "sklearn_pspd"
author = "The sklearn_pspd developers"
copyright = author  # noqa: A001  Sphinx' name
release = version = sklearn_pspd.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_pspd"
html_static_path = ["_static"]
html_css_files = ["sklearn_pspd.css"]
html_show_sourcelink = False
html_copy_source = False
TOP_PAGES = ("installation", "paper", "peers", "performance", "contributing")
html_sidebars = {page: [] for page in ("index", *TOP_PAGES)}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    # Examples and the reference need the width for code and tables.
    "secondary_sidebar_items": {page: ["page-toc"] for page in (*TOP_PAGES, "api", "user_guide/*")},
    "footer_start": ["disclaimer"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "tango",
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_pspd",),
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
    "show_signature": False,
    "capture_repr": ("_repr_html_",),
    "min_reported_time": 1,
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "plot_gallery": True,
}

# sphinx-gallery leaves the alternative text of thumbnails empty; the example's title, its question, serves as one.
for template in ("THUMBNAIL_TEMPLATE", "BACKREF_THUMBNAIL_TEMPLATE"):
    text = getattr(backreferences, template)
    setattr(backreferences, template, text.replace("    :alt:\n", "    :alt: {title}\n"))

# Projects whose documentation has an inventory of names.
NEIGHBOURS = {
    "imblearn": "https://imbalanced-learn.org/stable/",
    "joblib": "https://joblib.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "nibabel": "https://nipy.org/nibabel/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "python": "https://docs.python.org/3/",
    "sklearn": "https://scikit-learn.org/stable/",
}
# Keras publishes none, so the few names that these pages mention are listed here.
KERAS_URL = "https://keras.io/"
KERAS_NAMES = {
    "keras.Model": ("class", "api/models/model/"),
    "keras.callbacks.Callback": ("class", "api/callbacks/base_callback/"),
    "keras.callbacks.EarlyStopping": ("class", "api/callbacks/early_stopping/"),
    "keras.models.load_model": ("function", "api/models/model_saving_apis/model_saving_and_loading/"),
}


def _fetch_inventory(neighbour):
    """Return (name, (address, inventory file)); None where the inventory is out of reach."""
    name, url = neighbour
    path = INVENTORIES / f"{name}.inv"
    if not path.exists():
        try:
            request = Request(f"{url}objects.inv", headers={"User-Agent": "sklearn_pspd documentation"})
            with urlopen(request, timeout=5) as answer:
                content = answer.read()
        except OSError:
            return None
        if not content.startswith(b"# Sphinx inventory"):  # some networks answer with a page of their own
            return None
        path.write_bytes(content)
    return name, (url, str(path))


def _write_keras_inventory():
    lines = [f"{name} py:{role} 1 {page} -\n" for name, (role, page) in KERAS_NAMES.items()]
    head = "# Sphinx inventory version 2\n# Project: Keras\n# Version: 3\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    path = INVENTORIES / "keras.inv"
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))
    return str(path)


def _reachable_inventories():
    """Return Sphinx' mapping of the neighbours within reach, so that a build without network has no broken one."""
    INVENTORIES.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        found = dict(filter(None, pool.map(_fetch_inventory, NEIGHBOURS.items())))
    if absent := sorted(set(NEIGHBOURS) - set(found)):
        print(f"no link leads to {', '.join(absent)}: out of reach", file=sys.stderr)
    return {**found, "keras": (KERAS_URL, _write_keras_inventory())}


(DOCS / "api.rst").write_text(reference_page(), encoding="utf-8")
intersphinx_mapping = _reachable_inventories()


def setup(app):
    """Leave the fields of named tuples to the docstring of their class."""
    app.connect("autodoc-skip-member", lambda *member: member[4] or type(member[3]).__name__ == "_tuplegetter")
