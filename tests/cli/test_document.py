"""docs/cli.md says what the commands' own help says."""

import subprocess
import sys
from pathlib import Path

from tests.cli.run import environment

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def test_the_page_of_the_commands_is_their_help() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.cli.document"],
        capture_output=True,
        text=True,
        cwd=PAGE.parent.parent,
        env=environment({}),
        check=True,
    )
    hint = "run: python -m tests.cli.document > docs/cli.md"
    assert ended.stdout == PAGE.read_text(encoding="utf-8"), hint
