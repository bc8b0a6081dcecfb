"""Every test vector of docs/state-file-format.md, read by the package's own reader."""

import json
import os
from pathlib import Path

import pytest

from poststage.errors import StateFileError
from poststage.statefile import read_state
from poststage.statefile.value import value_of
from tests.vectors import make

VECTORS = Path(make.__file__).parent
NAMES = sorted(path.stem for path in VECTORS.glob("*.state"))


def read(path: Path) -> object:
    """The value of the file as JSON, null for None, or the error's line."""
    fd = os.open(path, os.O_RDONLY)
    try:
        state = read_state(fd, os.fsencode(path))
        return None if state is None else value_of(state)
    except StateFileError as error:
        return error
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", NAMES)
def test_each_vector_has_its_value_or_its_error(name: str) -> None:
    expected = json.loads((VECTORS / f"{name}.json").read_text(encoding="ascii"))
    found = read(VECTORS / f"{name}.state")
    if isinstance(expected, dict) and "error" in expected:
        assert isinstance(found, StateFileError)
        assert f"{name}.state: {expected['error']}:" in found.message
        assert found.message.endswith("; none of its files was touched")
        assert found.hint
    else:
        assert json.loads(json.dumps(found)) == expected


def test_the_vectors_are_what_their_generator_writes(tmp_path: Path) -> None:
    make.main(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in VECTORS.iterdir() if path.suffix in _SUFFIXES}
    assert written == kept


_SUFFIXES = {".state", ".json"}
