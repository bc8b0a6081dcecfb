"""What a forget that was killed leaves: empty directories go, and nothing else."""

import os
from pathlib import Path

import pytest

from poststage.cli.emptied import emptied, remove
from poststage.durable import fsops


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    for name in ("empty", "places/0.parts", "places/1.parts", "other/sub", "full", ".local"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full" / "0.done").touch()
    (tmp_path / "link").symlink_to("empty")
    return tmp_path


@pytest.mark.parametrize(
    ("dataset", "names"),
    [(None, [b"empty", b"places"]), ("places", [b"places"]), ("full", []), ("none", [])],
)
def test_directories_without_a_file_are_those_of_forgotten_datasets(
    state_dir: Path, dataset: str | None, names: list[bytes]
) -> None:
    fd = fsops.open_dir(os.fsencode(state_dir))
    assert list(emptied(fd, dataset)) == names
    os.close(fd)


def test_they_are_removed_and_one_that_somebody_has_begun_to_use_stays(state_dir: Path) -> None:
    fd = fsops.open_dir(os.fsencode(state_dir))
    for name in emptied(fd, None):
        (state_dir / "empty" / "0.state").touch()
        remove(fd, name)
    os.close(fd)
    there = {path.name for path in state_dir.iterdir()}
    assert there == {"empty", "other", "full", "link", ".local"}
