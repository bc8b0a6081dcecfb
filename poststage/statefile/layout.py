"""Names in a STATEDIR: `DATASET/PART.state`, `DATASET/PART.done`, `DATASET.report.json`.

Of a dataset with many parts, PART lies in `DATASET/N.parts/`: no directory is so large that its
file system becomes slow at it, or takes the names of a whole machine one after the other.

Another library's state file has any name; set aside it is `NAME.axl.done`, and verdicts on
its files are kept in `NAME.axl.verdicts`.
"""

import re

import xxhash

from poststage.errors import UsageError
from poststage.names import NAME_MAX, shown, to_text

STATE_SUFFIX = b".state"
DONE_SUFFIX = b".done"
REPORT_SUFFIX = b".report.json"
LOCK_NAME = b".finalize.lock"
FOREIGN_DONE_SUFFIX = b".axl" + DONE_SUFFIX
VERDICTS_SUFFIX = b".axl.verdicts"

PARTS_IN_DIR = 256
"""How many parts lie in one directory, and so how many a dataset has whose parts lie in its own."""
_PLACE = re.compile(rb"(?:0|[1-9][0-9]{0,6})\.parts")


def dataset_dir_name(dataset: str) -> bytes:
    """The directory of `dataset`: its written form, `/` and a leading `.` escaped as well.

    Different datasets have different directories; none is hidden or leads elsewhere.

    Raises:
        UsageError: it is empty, too long with the report's suffix, or could be a report's name.
    """
    text = to_text(dataset.encode("utf-8", "surrogateescape")).replace("/", "%2F")
    name = ("%2E" + text[1:] if text.startswith(".") else text).encode("ascii")
    if is_place(name):
        name = name.replace(b".", b"%2E")
    if not name or len(name) > NAME_MAX - len(REPORT_SUFFIX):
        raise UsageError(
            f"dataset {shown(dataset[:80])!r}: a name of {len(name)} bytes as a directory; "
            f"nothing was recorded",
            hint=f"use 1 to {NAME_MAX - len(REPORT_SUFFIX)} bytes",
        )
    if name.endswith(REPORT_SUFFIX):
        raise UsageError(
            f"dataset {shown(dataset)}: is the name of another dataset's report; "
            f"nothing was recorded",
            hint=f"use a name that does not end in {REPORT_SUFFIX.decode()}",
        )
    return name


def report_name(dataset_dir: bytes) -> bytes:
    """The report beside the directory `dataset_dir`; of STATEDIR itself (empty) the one in it."""
    return (dataset_dir or b"finalize") + REPORT_SUFFIX


def state_name(part: int) -> bytes:
    """The state file of part `part`."""
    return b"%d" % part + STATE_SUFFIX


def place_of(part: int) -> bytes:
    """The directory of a large dataset that part `part` lies in."""
    return b"%d.parts" % (part // PARTS_IN_DIR)


def places(parts: int) -> list[bytes]:
    """All such directories of a dataset of `parts` parts; none of a small one."""
    if parts <= PARTS_IN_DIR:
        return []
    return [place_of(part) for part in range(0, parts, PARTS_IN_DIR)]


def is_place(name: bytes) -> bool:
    """Whether a directory in that of a dataset has the name of one that its parts lie in."""
    return _PLACE.fullmatch(name) is not None


def state_path(part: int, parts: int) -> bytes:
    """The state file of part `part` of `parts`, below the dataset's directory."""
    name = state_name(part)
    return name if parts <= PARTS_IN_DIR else place_of(part) + b"/" + name


def other_path(path: bytes) -> bytes:
    """Where the part of `path` would lie if its dataset had few parts instead of many, or many."""
    place, _, name = path.rpartition(b"/")
    return name if place else place_of(int(name.removesuffix(STATE_SUFFIX))) + b"/" + name


def done_name(state: bytes) -> bytes:
    """The name that the state file `state` is set aside under."""
    return state.removesuffix(STATE_SUFFIX) + DONE_SUFFIX


def beside(name: bytes, suffix: bytes) -> bytes:
    """`name` + `suffix`, for what belongs to another library's state file `name`.

    A name that would be too long is cut and marked, so that different ones stay different.
    """
    whole = name + suffix
    if len(whole) <= NAME_MAX:
        return whole
    mark = b"~" + xxhash.xxh3_64_hexdigest(name).encode("ascii") + suffix
    return name[: NAME_MAX - len(mark)] + mark
