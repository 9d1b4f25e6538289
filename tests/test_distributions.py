"""What is released: the files of sdist and wheel, the page of a package index, and one version everywhere."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sklearn_pspd

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(sklearn_pspd.__file__).parent
# What is in the repository for its developers only.
NOT_RELEASED = {".pre-commit-config.yaml"}


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """Paths of the sdist and of the wheel, built without a network connection."""
    pytest.importorskip("hatchling")
    pytest.importorskip("hatch_fancy_pypi_readme")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def metadata(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(name))


class Targets(HTMLParser):
    """The targets of the links and images of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src")]


def test_the_page_of_a_package_index_has_no_link_into_the_repository(metadata):
    markdown = pytest.importorskip("readme_renderer.markdown")
    page = markdown.render(metadata.get_payload(decode=True).decode())
    targets = Targets(page).found
    assert len(targets) > 3
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert "<img" not in page
    assert "<table" in page
    readme = Targets(markdown.render((ROOT / "README.md").read_text(encoding="utf-8"))).found
    assert any(not target.startswith("https://") for target in readme), "the README itself links to its neighbours"


def test_the_page_of_a_package_index_names_the_package_and_every_path(metadata):
    page = metadata.get_payload(decode=True).decode()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Version"] == sklearn_pspd.__version__
    assert "pip install sklearn-pspd && python -m sklearn_pspd" in page
    paths = re.findall(r"(?<!\!)\[[^\]]*\]\((?!https://)([^)]+)\)", readme)
    assert [path for path in paths if f"(`{path}`)" not in page] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_sdist_holds_the_repository(distributions):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("these sources are no Git repository")
    with tarfile.open(distributions[0]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    assert {"LICENSE", "README.md", "CITATION.cff", "CHANGELOG.md", "pyproject.toml", "docs/index.rst"} <= tracked
    assert tracked - names == NOT_RELEASED
    assert not [name for name in names if re.search(r"__pycache__|_build|auto_examples|\.(nii|dcm|csv)", name)]


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())
    files = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert names == {name for name in files if "__pycache__" not in name}
    assert "sklearn_pspd/intake/picker.html" in names


def test_one_version_everywhere():
    version = sklearn_pspd.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    assert "doi: 10.1038/s41598-018-31007-2" in citation
    (day,) = re.findall(r"^date-released: (.+)$", citation, re.MULTILINE)
    assert date.fromisoformat(day)
    # The newest section that has a version is this one, of the same day.
    assert re.findall(r"^## \[(\d.*)\] - (.+)$", changelog, re.MULTILINE)[0] == (version, day)
