"""How large everything is: as docs/performance.md has it, and small, to see that it works."""

from msgspec import Struct


class Sizes(Struct, frozen=True):
    """Of all families."""

    runs: int
    ranks: tuple[int, ...]
    """State files of a job, growing; the last but one with all paired runs, the last once."""
    files: int
    """Of each rank."""
    one_state_files: int
    """Files of one large state file, once."""
    slow_ranks: tuple[tuple[int, int], ...]
    """(jobs, state files) over a file system with 1 ms for each operation."""
    slow_files: int
    """Of each of these state files."""
    slow_alone: tuple[int, int, int]
    """(jobs, state files, files of each): few files each, so that renames of state files count."""
    mpi_ranks: int
    """State files that ranks share out over that file system."""
    agent_transfers: int
    """Ranks, one after the other, that record and hand over."""
    scope_ranks: int
    """Real processes under MPI."""
    scope_files: int
    """Of all of them together."""
    large_bytes: int
    medium_files: int
    """Of 1 MiB."""
    small_files: int
    """Of 4 KiB."""
    reader_entries: int
    startups: int


FULL = Sizes(
    runs=5,
    ranks=(1024, 4096, 16_384, 100_000),
    files=4,
    one_state_files=1_000_000,
    slow_ranks=((1, 16), (4, 64), (16, 256), (64, 960), (256, 512)),
    slow_files=16,
    slow_alone=(64, 2048, 4),
    mpi_ranks=960,
    agent_transfers=200,
    scope_ranks=4,
    scope_files=20_000,
    large_bytes=4 << 30,
    medium_files=1000,
    small_files=50_000,
    reader_entries=100_000,
    startups=20,
)

QUICK = Sizes(
    runs=1,
    ranks=(8, 32, 64),
    files=4,
    one_state_files=500,
    slow_ranks=((1, 8), (4, 16)),
    slow_files=4,
    slow_alone=(4, 16, 1),
    mpi_ranks=32,
    agent_transfers=5,
    scope_ranks=2,
    scope_files=40,
    large_bytes=4 << 20,
    medium_files=3,
    small_files=50,
    reader_entries=200,
    startups=2,
)
