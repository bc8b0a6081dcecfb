"""Several processes of one finalizer ask Rabbit's daemon, also after their parent has."""

from pathlib import Path

import pytest

from tests.backends.vendors.sites import NnfSite
from tests.site.scene import Scene


@pytest.mark.parametrize("publish", ["file", "dataset"])
def test_forked_processes_get_answers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: str
) -> None:
    (tmp_path / "rabbit").mkdir()
    rabbit = NnfSite(tmp_path / "rabbit", monkeypatch)
    (tmp_path / "site").mkdir()
    site = '[site]\nbackend = "nnf"\nallowed_backends = ["nnf"]\n[backend.nnf]\n'
    scene = Scene(tmp_path / "site", f'{site}socket = "{rabbit.server.root}/socket"\n')
    job = {"DW_WORKFLOW_NAME": "flux-1", "PATH": "/usr/bin:/bin"}
    env = {**job, "POSTSTAGE_STATE_DIR": str(scene.state)}
    names = ("a", "b", "c", "d")
    for name in names:
        (scene.bb / name).write_text(name)
        words = ("out", "--dataset", f"step.{name}", scene.bb / name, scene.out)
        done = scene.run(scene.bin / "poststage", *words, **env)
        assert done.returncode == 0, done.stderr
    more = ("--jobs", "2", "--publish", publish, "--deadline", "30")
    ended = scene.run(scene.bin / "finalize", "--dir", scene.state, *more, **job)
    rabbit.kill()
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in scene.out.iterdir()} == set(names)
