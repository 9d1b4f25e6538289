"""Documentation: what it lists exists, what it shows runs, and docstrings are whole."""

import importlib
import inspect
import pkgutil
import pydoc
import re
from dataclasses import is_dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpydoc.validate
import pytest
from reference import documented, reference_page, rooms

import sklearn_pspd
from sklearn_pspd import make_cohort

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.rst") if "_build" not in path.parts)]

# Left out of numpydoc's checks: sections that not every docstring needs, and the type before a single return value,
# which may have a name.
OPTIONAL = {"ES01", "EX01", "RT02", "SA01"}


def public_paths():
    return {f"sklearn_pspd.{room}.{name}" for room, names in rooms().items() for name in documented(room, names)}


def documented_objects():
    """List the public names, and the methods and properties of public classes."""
    for path in sorted(public_paths()):
        yield path
        module, name = path.rsplit(".", 1)
        value = getattr(importlib.import_module(module), name)
        for member, attribute in vars(value).items() if inspect.isclass(value) else ():
            is_method = inspect.isfunction(attribute) or isinstance(attribute, property | classmethod | staticmethod)
            if is_method and not member.startswith("_"):
                yield f"{path}.{member}"


def test_every_room_is_public_or_internal():
    """What has no `__all__` is for no user: nothing of it may be exported, nor shown on a page."""
    found = {module.name for module in pkgutil.iter_modules(sklearn_pspd.__path__)}
    assert found - set(rooms()) == {"__main__", "_sklearn", "file_writing", "formatting"}


def test_a_public_name_lives_in_one_room_and_is_importable():
    names = [name for of_room in rooms().values() for name in of_room]
    assert len(names) == len(set(names)), "a name is public in two rooms"
    assert set(sklearn_pspd.__all__) - {"__version__"} <= set(names)
    for path in public_paths():
        room, name = path.rsplit(".", 1)
        assert getattr(importlib.import_module(room), name) is not None


def test_the_reference_page_lists_the_public_names():
    listed = re.findall(r"^   ~(sklearn_pspd\.[\w.]+)$", reference_page(), re.MULTILINE)
    assert len(listed) == len(set(listed)), "a name is listed twice"
    assert set(listed) == public_paths()


def test_docstrings_are_whole():
    """They have what numpydoc asks for: parameters in order with types and texts, sections in order, full stops."""
    problems = []
    for path in documented_objects():
        result = numpydoc.validate.validate(path)
        skipped = OPTIONAL | ({"PR01"} if has_fields_documented(path) else set())
        problems += [f"{path}: {code} {text}" for code, text in result["errors"] if code not in skipped]
    assert not problems, "\n".join(problems)


def has_fields_documented(path):
    """Say whether a class' parameters are its fields, which its docstring lists as attributes."""
    module, name = path.rsplit(".", 1)
    value = getattr(importlib.import_module(module), name) if module.count(".") == 1 else None
    is_record = inspect.isclass(value) and (is_dataclass(value) or hasattr(value, "_fields"))
    return is_record and "Attributes\n" in value.__doc__


def code_blocks(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^( *)\.\. code-block:: python\n\n((?:\1 {3}.*\n|\n)+)", text + "\n", re.MULTILINE)
    return [inspect.cleandoc("\n" + block) for _, block in blocks]


@pytest.fixture(scope="module")
def reader_folder(tmp_path_factory):
    """A folder as the pages assume it: a cohort table with its images."""
    folder = tmp_path_factory.mktemp("reader")
    make_cohort(folder, 30, matrix_px=(128,), n_native_slices=10, random_state=0)
    return folder


# The page on cohorts needs folders of its own: tests/test_cohort_page.py.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if code_blocks(page) and page.stem != "cohorts"], ids=lambda page: page.stem
)
def test_code_blocks_run(page, reader_folder, monkeypatch, capsys, few_trees):
    monkeypatch.chdir(reader_folder)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    namespace = {"__name__": "__main__"}
    for number, block in enumerate(code_blocks(page), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
    plt.close("all")
    assert capsys.readouterr().out


def test_blocks_are_found():
    assert sum(len(code_blocks(page)) for page in PAGES) > 30
    shown = sum(page.read_text(encoding="utf-8").count(mark) for page in PAGES for mark in ("```python", ":: python\n"))
    assert shown == sum(len(code_blocks(page)) for page in PAGES)


def test_gallery_examples_are_quiet_and_named_in_order():
    """Each has a title, says that its cohort is synthetic, and has a figure."""
    examples = sorted((ROOT / "examples").glob("plot_*.py"))
    assert examples
    for example in examples:
        text = example.read_text(encoding="utf-8")
        assert re.match(r'"""\n\S.*\n=+\n', text), f"{example.name} has no title"
        assert "synthetic" in text.lower(), f"{example.name} does not say that its cohort is synthetic"
        assert text.split("\n=")[0].endswith("?"), f"{example.name} has no question as its title"
        prose = re.findall(r"^# %%.*\n(?:#.*\n)*", text, re.MULTILINE)
        # There sphinx-gallery takes its own settings for text and prints them.
        assert not any("sphinx_gallery" in part for part in prose), f"{example.name} prints a setting of sphinx-gallery"


def test_pages_and_examples_show_what_they_compute():
    """A picture that is pasted tells nobody when it is no longer true; diagrams and screenshots are drawn by hand."""
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES if page.suffix == ".rst"}
    pictures = [
        (page.name, target, alt)
        for page, text in pages.items()
        for target, alt in re.findall(r"\.\. (?:image|figure):: (\S+)\n((?: +:.*\n(?: {8,}.*\n)*)*)", text)
    ]
    assert pictures
    for page, target, options in pictures:
        assert ":alt:" in options, f"{page}: {target} has no alternative text"
        drawn = re.fullmatch(r"/auto_examples/images/sphx_glr_(plot_\w+)_\d{3}\.png", target)
        found = ROOT / "examples" / f"{drawn[1]}.py" if drawn else ROOT / "docs" / target.removeprefix("/")
        assert found.exists(), f"{page}: {target} does not exist"


def test_summaries_cite_nothing():
    """The reference page shows them alone, where a citation would be a number without its reference."""
    cited = []
    for path in documented_objects():
        owner, name = path.rsplit(".", 1)
        documented_object = pydoc.locate(path) or getattr(pydoc.locate(owner), name)
        summary = (inspect.getdoc(documented_object) or "").split("\n\n")[0]
        cited += [path] if re.search(r"\[\d+\]_", summary) else []
    assert not cited


def test_the_messages_of_the_troubleshooting_page_exist():
    page = (ROOT / "docs" / "user_guide" / "troubleshooting.rst").read_text(encoding="utf-8")
    messages = re.findall(r"^``(.+?)``", page, re.MULTILINE)
    assert len(messages) > 10
    # Literals that Python joins are one text, and what an f-string fills in is left out.
    sources = " ".join(path.read_text(encoding="utf-8") for path in Path(sklearn_pspd.__file__).parent.rglob("*.py"))
    sources = re.sub(r'"\s*f?"', "", sources)
    parts = [part for message in messages for part in map(str.strip, message.split("...")) if len(part) > 3]
    assert [part for part in parts if part not in sources] == []
