"""The learning curve as a picture."""

from __future__ import annotations

import io
from pathlib import Path

from ..storage import write_atomically
from .log import read_log


def draw_curve(log: Path, title: str) -> bytes:
    """A PNG of returns against plant steps: the population's range, its mean, the evaluations."""
    # No screen is needed, and none is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    entries = read_log(log)
    steps = [entry["steps"] for entry in entries]
    evaluated = [entry for entry in entries if entry["evaluation"] is not None]
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.fill_between(
        steps,
        [entry["worst"] for entry in entries],
        [entry["best"] for entry in entries],
        alpha=0.15,
        linewidth=0,
        label="population, worst to best",
    )
    axes.plot(steps, [entry["mean"] for entry in entries], linewidth=1.5, label="population, mean")
    axes.plot(
        [entry["steps"] for entry in evaluated],
        [entry["evaluation"] for entry in evaluated],
        "o-",
        markersize=4,
        linewidth=1,
        label="deterministic policy",
    )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of an episode")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def save_curve(folder: Path, title: str) -> Path:
    """Writes `curve.png` beside the folder's log."""
    path = folder / "curve.png"
    write_atomically(path, draw_curve(folder / "log.jsonl", title))
    return path
