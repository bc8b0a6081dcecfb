"""How a run of the finalizer is asked for."""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from poststage.config import Settings

Log = Callable[[Iterable[Mapping[str, str]]], None]
Waits = Callable[[int], None]
LOCKED = -1
"""Another finalizer holds the STATEDIR."""


class Options(Struct, frozen=True):
    """Choices of one run; the site's settings fill what was not said."""

    settings: Settings
    publish: str
    """`file` or `dataset`."""
    deadline_s: float
    """Seconds for everything: the lock, running transfers, the work. What is left is 75."""
    wait: bool = True
    """Wait for transfers that still run, until the deadline."""
    dry_run: bool = False
    """Plan and report; change nothing."""
    jobs: int = 0
    """How many work at once; 0 chooses."""
    requeued: bool = False
    """The job goes back to the queue: publish nothing, put its record aside."""
    job: str = ""
    """Whom this is for, as the scheduler calls it; "" for nobody in particular. With `requeued`
    it says whose record is put aside: without, whatever there is."""
    waits: Waits | None = None
    """Told again and again how many transfers are waited for, or LOCKED; 0 when nothing is."""
    log: Log | None = None
    """Takes the events of files that were published, where the site's log has those."""
    ranks: int = 1
    """Started by a launcher as rank 0 of so many: the others may help."""
    restore_owners: bool = False
    """Root over a trusted STATEDIR: give files to other owners, on a walk that cannot be led."""


def options_of(
    settings: Settings,
    *,
    publish: str | None = None,
    deadline_s: float | None = None,
    wait: bool = True,
    dry_run: bool = False,
    jobs: int | None = None,
    requeued: bool = False,
    job: str = "",
    ranks: int = 1,
    log: Log | None = None,
    waits: Waits | None = None,
) -> Options:
    """Options with the site's settings where nothing was said."""
    return Options(
        settings=settings,
        publish=publish or settings.publish,
        deadline_s=settings.deadline_s if deadline_s is None else deadline_s,
        wait=wait,
        dry_run=dry_run,
        jobs=settings.jobs if jobs is None else jobs,
        requeued=requeued,
        job=job,
        ranks=ranks,
        waits=waits,
        log=log if settings.log_files == "all" and not dry_run else None,
    )
