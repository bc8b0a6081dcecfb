"""How cost grows, as pictures: ranks against seconds, jobs against files a second."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.measure import Row

_INK = "#333333"


def draw(rows: Sequence[Row], into: Path) -> None:
    """PNG and SVG of both plots, in the directory `into`."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "poststage"  # the same rows give the same file
    _ranks([row for row in rows if row.family == "finalize" and row.ranks > 1], into)
    _jobs([row for row in rows if row.family == "slow file system"], into)


def _ranks(rows: Sequence[Row], into: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for series, some in _by_series(rows):
        ranks = [row.ranks for row in some]
        line = axes.plot(ranks, [_middle(row.ours) for row in some], marker="o", label=series)
        floors = [row for row in some if row.floor]
        if floors and series.endswith("1 process"):
            axes.plot(
                [row.ranks for row in floors],
                [_middle(row.floor) for row in floors],
                linestyle=":",
                color=line[0].get_color(),
                label=series.replace("1 process", "C floor"),
            )
    _logarithmic(axes, sorted({row.ranks for row in rows}))
    axes.set(xlabel="state files (ranks), 4 files each")
    axes.set(ylabel="seconds", title="finalize: seconds by ranks")
    _finished(figure, axes, into / "performance-ranks")


def _jobs(rows: Sequence[Row], into: Path) -> None:
    from matplotlib import pyplot

    rows = [row for row in rows if row.series]

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for series, some in _by_series(rows):
        jobs = [row.jobs for row in some]
        axes.plot(jobs, [row.files / _middle(row.ours) for row in some], marker="o", label=series)
        floors = [row for row in some if row.floor]
        if floors:
            axes.plot(
                [row.jobs for row in floors],
                [row.files / _middle(row.floor) for row in floors],
                linestyle=":",
                color=_INK,
                label="C, as many threads",
            )
    _logarithmic(axes, sorted({row.jobs for row in rows}))
    axes.set(xlabel="jobs (operations in flight)")
    axes.set(ylabel="files a second", title="finalize where an operation takes 1 ms")
    _finished(figure, axes, into / "performance-jobs")


def _by_series(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.series, []).append(row)
    return list(found.items())


def _middle(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


def _logarithmic(axes, measured: Sequence[int]) -> None:  # type: ignore[no-untyped-def] # as below
    """Both axes, with plain numbers; along x those that were measured."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set(xscale="log", yscale="log")
    axes.set_xticks(measured, [f"{value:,}" for value in measured])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _finished(figure, axes, path: Path) -> None:  # type: ignore[no-untyped-def] # matplotlib is an extra
    axes.grid(visible=True, which="both", linewidth=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="small")
    figure.savefig(path.with_suffix(".png"), dpi=110)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
