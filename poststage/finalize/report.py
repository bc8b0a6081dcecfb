"""What a run found and did, per dataset: the value that commands render and files keep."""

from msgspec import Struct, to_builtins

from poststage.errors import ExitCode, worst

PROBLEMS_MAX = 1000  # listed per dataset; the rest is counted
MISSING_MAX = 100
WAITS = "it waits"
"""How the reason begins of what is not touched because of a dataset that comes before it."""


class Problem(Struct, frozen=True):
    """One entry (or state file) that is not published. Texts in written form (names.py)."""

    part: int
    verdict: str
    reason: str
    destination: str = ""
    source: str = ""
    temp: str = ""
    state_file: str = ""
    source_gone: bool = False
    """FAILED: whether its source cannot be seen from where the finalizer ran."""
    errno: str = ""
    """What the operating system refused, by name, where it did."""


class DatasetReport(Struct, frozen=True):
    """One dataset: counts over all its state files, also those set aside by earlier runs."""

    dataset: str
    directory: str
    """Relative to STATEDIR, written form."""
    complete: bool
    """Every part accounted for, and every entry of it published."""
    parts: int
    parts_seen: int
    missing_parts: tuple[int, ...] = ()
    """The first of them."""
    files: dict[str, int] = {}
    """Verdict → number of files and links, and of directories that are not as they should be."""
    published_bytes: int = 0
    changed: int = 0
    """Entries that this run changed something for."""
    problems: tuple[Problem, ...] = ()
    problems_in_all: int = 0


class Report(Struct, frozen=True):
    """The whole run."""

    state_dir: str
    exit_code: ExitCode
    datasets: tuple[DatasetReport, ...]
    notes: tuple[str, ...] = ()
    """What could not be read or asked, in words."""
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def needs_attention(self) -> bool:
        """Whether anything is left to do for a person or for a later run."""
        return self.exit_code is not ExitCode.OK


def dataset_code(report: DatasetReport, codes: set[ExitCode]) -> ExitCode:
    """The exit code of one dataset: a part that is missing needs a person too."""
    if report.parts_seen < report.parts:
        codes = codes | {ExitCode.NEEDS_PERSON}
    return worst(codes)


def to_json(report: Report) -> object:
    """`report` as plain values; names stay in written form, so it is ASCII throughout."""
    return to_builtins(report)
