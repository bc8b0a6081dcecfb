"""Readers of bytes that others write, under a fuzzer that is led by what their code does."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.crash import tally
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

RUNS = tally.budget(sample=2_000, ci=20_000) or 300_000
LONGEST = 4096  # bytes of one input
HUNG_S = 10


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_starts_from_is_read(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_the_bytes_there_is_a_value_or_one_clear_error(
    tmp_path: Path, target: str
) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed (the extra `soak`): nothing was fuzzed")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(target)):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-runs={RUNS}", f"-max_len={LONGEST}", f"-timeout={HUNG_S}", "-seed=1"]
    options.append(f"-artifact_prefix={tmp_path}/")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, *options, corpus],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    done = re.search(r"^Done (\d+) runs", ended.stderr, re.M)
    runs = int(done[1]) if done else 0
    tally.sum_up(f"fuzzing, {target}", runs, runs, runs, int(ended.returncode != 0))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert runs >= RUNS
