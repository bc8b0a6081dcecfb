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
    slow_ranks=((1, 64), (4, 256), (16, 1024), (64, 2048), (256, 4096)),
    mpi_ranks=2048,
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
