"""Code blocks of the README, run as a reader would."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_code_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert "0." in capsys.readouterr().out
