"""Files damaged at random: each loads as an independent reader reads it, or is refused by patient and file."""

import pytest
from benchmarks.fuzz_files import run


@pytest.mark.filterwarnings("ignore")  # libraries warn about damaged headers; only what the loader makes of them counts
def test_damaged_files_end_in_the_right_stack_or_a_named_refusal(tmp_path):
    endings, failures = run(tmp_path, 100)
    assert failures == []
    assert endings["stack"] > 15
    assert endings["refused"] > 15
