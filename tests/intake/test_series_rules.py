"""The table of the user guide on what the rules of choose_series are worth is what its command prints."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("series_rules", ROOT / "tests" / "benchmarks" / "series_rules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_user_guide(benchmark, shared_data, tmp_path):
    page = (ROOT / "docs" / "user_guide" / "intake.rst").read_text(encoding="utf-8")
    series, near, truth = benchmark.synthetic_export(tmp_path)
    assert benchmark.outcomes(series, near, truth) == "8 / 8 / 0"
    assert benchmark.outcomes(series, near, truth, pixels=True) == "10 / 6 / 0"
    table = benchmark.rule_table(series, near, truth, benchmark.public_rows(shared_data))
    for line in table.to_csv(index=False).splitlines()[1:]:
        assert f"\n   {line}\n" in page, line
    # Nothing that is not T1 is a candidate.
    became = benchmark.exclusion_table(series, near, truth)
    assert set(became.loc[became["became"] == "candidate", "kind"]) == {"t1_post", "t1_pre"}
