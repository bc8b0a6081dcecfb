"""`poststage site show`: every value in force, and where it came from."""

from pathlib import Path

from tests.cli.run import run


def site(tmp_path: Path, text: str) -> Path:
    """A site file of `text`."""
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    path = site(tmp_path, '[finalize]\njobs = 3\n[backend.emulator]\nroot = "/x"\n')
    values = run("site", "show", "--json", "--site", path).json()
    assert values["finalize.jobs"] == {"value": 3, "from": str(path)}
    assert values["backend.emulator.root"] == {"value": "/x", "from": str(path)}
    assert values["finalize.publish"] == {"value": "file", "from": "packaged default"}
    assert values["backend.emulator.timeout_s"]["from"] == "backend's default"


def test_the_environment_names_the_site_file_too(tmp_path: Path) -> None:
    path = site(tmp_path, "[site]\nname = 'here'\n")
    ended = run("site", "show", POSTSTAGE_SITE=str(path))
    assert f'site.name                    "here"                 {path}\n' in ended.out


def test_a_mistake_in_a_backends_table_is_found_before_a_job_meets_it(tmp_path: Path) -> None:
    path = site(tmp_path, '[backend.emulator]\nrot = "/x"\n')
    ended = run("site", "show", "--site", path)
    assert ended.code == 2
    assert "did you mean root?" in ended.err


def test_a_backend_that_is_not_installed_is_said_by_name(tmp_path: Path) -> None:
    path = site(tmp_path, "[site]\nallowed_backends = ['emulator', 'nnf9']\n")
    ended = run("site", "show", "--site", path)
    assert ended.code == 2
    assert "backend nnf9 is not installed" in ended.err


def test_a_backend_that_cannot_be_loaded_here_is_shown_as_that(tmp_path: Path) -> None:
    (tmp_path / "grpc").mkdir()
    (tmp_path / "grpc" / "__init__.py").write_text("raise ImportError('no grpc here')")
    site = tmp_path / "site.toml"
    site.write_text('[site]\nbackend = "nnf"\nallowed_backends = ["nnf"]\n')
    ended = run("site", "show", "--json", "--site", site, PYTHONPATH=str(tmp_path))
    assert ended.code == 0
    assert ended.json()["backend.nnf"]["from"] == "backend nnf: cannot be loaded: no grpc here"
    checked = run("site", "check", "--json", "--site", site, PYTHONPATH=str(tmp_path))
    (one,) = [one for one in checked.json() if one["what"] == "backend nnf"]
    assert one["level"] == "wrong"
    assert "poststage[nnf]" in one["advice"]
