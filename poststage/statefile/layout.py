"""Names in a STATEDIR: `DATASET/PART.state`, `DATASET/PART.done`, `DATASET.report.json`.

Another library's state file has any name; set aside it is `NAME.axl.done`, and verdicts on
its files are kept in `NAME.axl.verdicts`.
"""

import xxhash

from poststage.errors import UsageError
from poststage.names import NAME_MAX, shown, to_text

STATE_SUFFIX = b".state"
DONE_SUFFIX = b".done"
REPORT_SUFFIX = b".report.json"
LOCK_NAME = b".finalize.lock"
FOREIGN_DONE_SUFFIX = b".axl" + DONE_SUFFIX
VERDICTS_SUFFIX = b".axl.verdicts"


def dataset_dir_name(dataset: str) -> bytes:
    """The directory of `dataset`: its written form, `/` and a leading `.` escaped as well.

    Different datasets have different directories; none is hidden or leads elsewhere.

    Raises:
        UsageError: it is empty, too long with the report's suffix, or could be a report's name.
    """
    text = to_text(dataset.encode("utf-8", "surrogateescape")).replace("/", "%2F")
    name = ("%2E" + text[1:] if text.startswith(".") else text).encode("ascii")
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
    """The report beside the directory `dataset_dir`."""
    return dataset_dir + REPORT_SUFFIX


def state_name(part: int) -> bytes:
    """The state file of part `part`."""
    return b"%d" % part + STATE_SUFFIX


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
