"""The plan of docs/architecture.md, held against the source: who imports whom, who changes what."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BASE = ("poststage.errors", "poststage.names", "poststage.model", "poststage.query")
SECOND = ("poststage.durable", "poststage.config")
COPIER, EMULATOR = "poststage.copier", "poststage.emulator"
THIRD = ("poststage.statefile", COPIER, EMULATOR, "poststage.backends")

# Room → the rooms that it may import, its own aside; the longest fitting prefix counts.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(BASE, ()),
    **dict.fromkeys(SECOND, BASE),
    "poststage.statefile": BASE + SECOND,
    COPIER: BASE + SECOND,
    EMULATOR: (*BASE, *SECOND, COPIER),
    "poststage.backends": (*BASE, *SECOND, COPIER, EMULATOR),
    "poststage.scheduler": BASE + SECOND,
    "poststage.registry": (*BASE, "poststage.durable"),
    "poststage.eventlog": (*BASE, "poststage.durable"),
    "poststage.site": BASE + SECOND + THIRD,
    "poststage.agent": (*BASE, *SECOND, *THIRD, "poststage.registry"),
    "poststage.finalize": BASE + SECOND + THIRD,
    "poststage.scr": (*BASE, *SECOND, *THIRD, "poststage.finalize"),
    "poststage.simulate": (*BASE, *SECOND, *THIRD, "poststage.finalize"),
    "poststage.cli": ("poststage",),
    "poststage": ("poststage.agent",),  # the API's names, and only when they are asked for
    "poststage.__main__": ("poststage.cli",),
    "stagein": BASE + SECOND,
}

# Third-party package → who may import it; "" for everybody.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "click": ("poststage.cli", "stagein.cli"),
    "rich": ("poststage.cli", "stagein.cli"),
    "mpi4py": ("poststage.agent.ranks",),
    "filelock": ("poststage.durable.lock",),
    "msgspec": ("",),
    "xxhash": ("",),
    "pytest": ("poststage.backends.contract",),
    "grpc": ("poststage.backends.nnf_daemon",),
    "google": ("poststage.backends.nnf_messages",),
}

# Who may change the filesystem: names in fsops, contents where the plan says so.
CHANGES_NAMES = ("poststage.durable",)
CHANGES_CONTENTS = (*CHANGES_NAMES, "poststage.copier.engine")
CONTENT_CALLS = frozenset({"write", "pwrite", "writev", "pwritev", "ftruncate", "copy_file_range"})
CONTENT_CALLS |= {"sendfile", "splice", "posix_fallocate"}
NAME_CALLS = frozenset(
    {"chflags", "chmod", "chown", "fchmod", "fchown", "lchmod", "lchown", "link", "makedirs"}
    | {"mkdir", "mkfifo", "mknod", "remove", "removedirs", "removexattr", "rename", "renames"}
    | {"replace", "rmdir", "setxattr", "symlink", "truncate", "unlink", "utime"}
)
PATH_CALLS = frozenset(
    {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "rmtree", "copyfile"}
    | {"copytree", "move"}
)
TEST_BODIES = frozenset({"poststage.backends.contract"})  # shipped for vendors; runs in tests
FORBIDDEN_MODULES = frozenset({"shutil", "tempfile"})  # they change the filesystem by path
OPEN_FLAGS = frozenset({"O_CREAT", "O_TRUNC", "O_TMPFILE"})


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module that is shipped."""
    for package in ("poststage", "stagein"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def within(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether `module` lies in one of `rooms`; the room "" is everywhere."""
    return any(not room or module == room or module.startswith(room + ".") for room in rooms)


def room_of(module: str) -> str:
    """The longest key of MAY_IMPORT that `module` lies in."""
    fitting = [room for room in MAY_IMPORT if within(module, (room,))]
    return max(fitting, key=len)


def imported(node: ast.AST) -> list[str]:
    """The dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in MODULES else str(node.module) for name in names]
    return []


def breaches(module: str, source: str) -> list[str]:
    """What in `source` breaks the plan, if it is the module `module`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        facts = [fact for name in imported(node) for fact in _import(module, name)]
        facts += [] if module in TEST_BODIES else _change(module, node)
        found += [f"{module}:{getattr(node, 'lineno', 0)}: {fact}" for fact in facts]
    return found


def _import(module: str, name: str) -> Iterator[str]:
    top = name.partition(".")[0]
    if top in {"poststage", "stagein"}:
        room = room_of(module)
        allowed = (room, *MAY_IMPORT[room]) if room != "poststage" else MAY_IMPORT[room]
        if name != "poststage" and not within(name, allowed):
            yield f"{room} does not import {name}"
    elif top in FORBIDDEN_MODULES:
        yield f"{top} changes the filesystem by path; use durable.fsops"
    elif top in THIRD_PARTY:
        if not within(module, THIRD_PARTY[top]):
            yield f"{top} is imported by {', '.join(THIRD_PARTY[top])} alone"
    elif top not in sys.stdlib_module_names:
        yield f"{top} is no dependency of this project"


def _change(module: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and node.attr in OPEN_FLAGS:
        if not within(module, CHANGES_CONTENTS):
            yield f"os.{node.attr} makes or empties a file; use durable.fsops"
    elif isinstance(node, ast.Call):
        yield from _call(module, node)


def _call(module: str, node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Name) and function.id == "open":
        mode = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
        mode += [key.value.value for key in node.keywords if isinstance(key.value, ast.Constant)]
        if any(isinstance(text, str) and set(text) & set("wax+") for text in mode):
            yield "open() for writing; use durable.fsops"
    if not isinstance(function, ast.Attribute):
        return
    of_os = isinstance(function.value, ast.Name) and function.value.id == "os"
    if of_os and function.attr in NAME_CALLS and not within(module, CHANGES_NAMES):
        yield f"os.{function.attr} changes the filesystem; use durable.fsops"
    if of_os and function.attr in CONTENT_CALLS and not within(module, CHANGES_CONTENTS):
        yield f"os.{function.attr} writes; contents are copied in copier.engine alone"
    if function.attr in PATH_CALLS:
        yield f".{function.attr} changes the filesystem by path; use durable.fsops"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_breaks_the_plan(module: str) -> None:
    assert breaches(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("poststage.finalize.plan", "from poststage.agent import transfer"),
        ("poststage.finalize.plan", "from poststage import agent"),
        ("poststage.agent.transfer", "import poststage.finalize"),
        ("poststage.statefile.codec", "def f():\n    from poststage.cli import common"),
        ("poststage.model", "from poststage.names import shown"),
        ("poststage.copier.engine", "from poststage.emulator import faults"),
        ("poststage.agent.transfer", "import mpi4py.MPI"),
        ("poststage.finalize.report", "from rich.table import Table"),
        ("poststage.config", "import yaml"),
        ("stagein.copy", "from poststage.statefile import read_state"),
        ("poststage.finalize.apply", "import os\nos.unlink(b'x', dir_fd=3)"),
        ("poststage.copier.engine", "import os\nos.rename('a', 'b')"),
        ("poststage.agent.recording", "import os\nos.write(1, b'')"),
        ("poststage.agent.recording", "import os\nos.open('x', os.O_CREAT)"),
        ("poststage.cli.show", "from pathlib import Path\nPath('x').write_text('y')"),
        ("poststage.cli.show", "open('x', 'w')"),
        ("poststage.cli.show", "open('x', mode='ab')"),
        ("poststage.emulator.daemon", "import shutil"),
    ],
)
def test_each_kind_of_breach_is_found(module: str, source: str) -> None:
    assert breaches(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("poststage.cli.status", "from poststage.finalize.scan import scan\nimport rich"),
        ("poststage.agent.ranks", "def f():\n    from mpi4py import MPI"),
        ("poststage.durable.fsops", "import os\nos.unlink(b'x', dir_fd=3)"),
        ("poststage.copier.engine", "import os\nos.pwrite(1, b'', 0)"),
        ("poststage.cli.show", "open('x')\n'a'.replace('a', 'b')"),
    ],
)
def test_what_the_plan_allows_is_no_breach(module: str, source: str) -> None:
    assert breaches(module, source) == []


def imports_at_load(path: Path) -> set[str]:
    """Our modules that are imported when this one is: not in functions, not for types alone."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    found: set[str] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        found.update(name for name in imported(node) if name in MODULES and name != "poststage")
        pending.extend(ast.iter_child_nodes(node))
    return found


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: imports_at_load(path) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"a cycle: {' → '.join((*above, module))}"
        if module in done:
            return
        for imported_module in graph[module]:
            visit(imported_module, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


# Modules without a test file of their own name, and what tests them.
TESTED_ELSEWHERE: dict[str, str] = {
    "poststage.scheduler.base": "frozen values: tests/scheduler",
    "poststage.backends.movable": "poststage/backends/contract.py, over each vendor that needs it",
    "poststage.backends.datawarp_library": "a vendor's functions: tests/backends/test_datawarp.py",
    "poststage.backends.bbstatus": "values: tests/backends/test_bbapi.py, test_bbcmd.py",
    "poststage.site.finding": "a frozen value: tests/site/test_checks.py",
    "poststage.site.words": "words: tests/site/test_page.py",
    "poststage.finalize.options": "a frozen value: tests/finalize/test_run.py",
    "poststage.finalize.outcome": "a frozen value: tests/finalize/test_prepare.py, test_run.py",
    "poststage.finalize.report": "frozen values: tests/finalize/test_tally.py, test_records.py",
    "poststage.finalize.seen": "frozen values: tests/finalize/test_plan.py, test_observe.py",
    "poststage.scr.dataset": "tests/scr/test_run.py: what a dataset comes to needs a whole prefix",
    "poststage.scr.verdict": "tests/scr/test_run.py: which rank is missing needs a whole prefix",
}


def test_each_module_has_a_test_file_of_its_name_or_a_reason() -> None:
    missing = []
    for module, path in MODULES.items():
        if path.name in {"__init__.py", "__main__.py"} or module in TESTED_ELSEWHERE:
            continue
        inside = path.relative_to(ROOT)
        below = inside.parts[1:-1] if inside.parts[0] == "poststage" else inside.parts[:-1]
        if not ROOT.joinpath("tests", *below, f"test_{path.name}").exists():
            missing.append(module)
    assert missing == []


def test_each_reason_for_a_missing_test_file_is_needed() -> None:
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
