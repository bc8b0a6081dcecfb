"""poststage as a site installs it: an interpreter that every user can reach, and an MPI.

Its dependencies are installed once a machine, below /var/tmp; the checkout itself for each
session of tests.
"""

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"
_SHIPPED = ("poststage", "site-configs", "pyproject.toml", "README.md", "LICENSE")


def dependencies(mpi: str) -> Path:
    """A venv with what poststage needs and the MPI `mpi` of PyPI; made if it is missing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [mpi, "setuptools>=77", *project["dependencies"]]
    key = hashlib.sha256("\n".join([PYTHON, *wanted]).encode()).hexdigest()[:12]
    venv = Path(f"/var/tmp/poststage-tests-{os.geteuid()}-{key}")
    with FileLock(f"{venv}.lock"):
        if not (venv / "whole").exists():
            shutil.rmtree(venv, ignore_errors=True)
            _run(PYTHON, "-m", "venv", venv)
            _run(venv / "bin/python", "-m", "pip", "install", "--quiet", *wanted)
            (venv / "whole").touch()
    return venv


def install(prefix: Path, mpi: str) -> Path:
    """Install the checkout into a new venv at `prefix`; its bin directory."""
    needed = dependencies(mpi)
    source = prefix.parent / f"{prefix.name}-source"
    for name in _SHIPPED:
        _copy(ROOT / name, source / name)
    shutil.copytree(needed, prefix, symlinks=True, copy_function=os.link)
    words = ("install", "--quiet", "--no-deps", "--no-build-isolation", source)
    _run(prefix / "bin/python", "-m", "pip", *words)
    return prefix / "bin"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, target, ignore=ignored)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _run(*command: object) -> None:
    words = [os.fspath(word) if isinstance(word, Path) else str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
