"""Learning curves as pictures: of one run with its population, of several runs to compare."""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EcedgeError, StorageError, UsageError
from ..storage import reason, write_atomically
from .checkpoint import load_checkpoint
from .log import read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG, CHECKPOINT = "log.jsonl", "checkpoint.npz"
PICTURES = (".png", ".svg", ".pdf")
#: what curves may be drawn against: its label
AXES = {"steps": "environment steps", "seconds": "seconds", "generations": "generations"}
NEEDED = {"generation", "steps", "seconds", "mean", "best", "worst", "evaluation"}
#: settings that tell how long a run went, not what it learned
LENGTH = {"generations", "target", "steps"}


@dataclass(frozen=True)
class Run:
    """One run's log, and what is known of its settings: all from its checkpoint, task and seed from
    a folder name such as CartPole-v1-seed0, else nothing."""

    name: str
    settings: dict
    entries: list[dict]

    def axis(self, x: str) -> np.ndarray:
        """(entries,) float64: where each generation lies on the axis `x` of `AXES`."""
        if x == "generations":
            return self.field("generation") + 1
        return self.field(x)

    def field(self, name: str) -> np.ndarray:
        """(entries,) float64; NaN where the log has none."""
        return np.array([entry[name] for entry in self.entries], np.float64)

    def evaluations(self, x: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the deterministic policy was evaluated and its mean return: both (M,) float64."""
        evaluations = self.field("evaluation")
        there = ~np.isnan(evaluations)
        return self.axis(x)[there], evaluations[there]


def read_run(path: str | os.PathLike) -> Run:
    """The run of a folder or of a log file. UsageError: there is none, or no generation in it."""
    path = Path(path)
    log = path / LOG if path.is_dir() else path
    if not log.exists():
        what = f"{path} holds no {LOG}" if path.is_dir() else f"There is no run {path}"
        raise UsageError(f"{what}.", f"Give the folder of a run, or its {LOG}.")
    try:
        entries = read_log(log)
    except OSError as error:
        raise StorageError(f"Cannot read {log}: {reason(error)}.") from error
    if not entries:
        raise UsageError(f"{log} logs no generation.", "Train the run further, or leave it out.")
    if not all(is_whole(entry) for entry in entries):
        raise UsageError(f"{log} is not a log of ecedge.", f"Give the {LOG} of a run.")
    folder = log.absolute().parent
    name = folder.name if log.name == LOG else log.stem
    return Run(name, settings_of(folder, name), entries)


def is_whole(entry: dict) -> bool:
    """Whether it has all that is drawn, as numbers or null."""
    values = [entry.get(name, "") for name in NEEDED]
    return all(value is None or isinstance(value, (int, float)) for value in values)


def settings_of(folder: Path, name: str) -> dict:
    """Those of the checkpoint, a declared task as its id and each table of its file."""
    try:
        settings = load_checkpoint(folder / CHECKPOINT)[0].to_dict()
    except EcedgeError:  # none, or of another version: the log is good all the same
        told = re.fullmatch(r"(.+)-seed(\d+)", name)
        return {"task": told[1], "seed": int(told[2])} if told else {}
    if settings["task"].startswith("{"):
        tables = json.loads(settings["task"])
        settings |= {"task": tables.pop("id"), **tables}
    return settings


def draw_curve(log: Path, title: str) -> bytes:
    """A PNG of returns against plant steps: the population's range, its mean, the evaluations."""
    figure, axes = new_figure("steps", title)
    draw_population(axes, Run(title, {}, read_log(log)), "steps")
    return rendered(figure, ".png")


def save_curve(folder: Path, title: str) -> Path:
    """Writes `curve.png` beside the folder's log."""
    path = folder / "curve.png"
    write_atomically(path, draw_curve(folder / LOG, title))
    return path


def save_curves(
    path: str | os.PathLike, runs: Sequence[Run], x: str = "steps", group: bool = False
) -> None:
    """Writes the curves of runs of one task as a .png, .svg or .pdf, against one of `AXES`.

    One run is drawn with its population; several are drawn a line each, or with `group` a mean and
    a band from the least to the most for those that differ in nothing but the seed.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURES:
        raise UsageError(
            f"{path.name} is no name of a picture.", f"End it in {', '.join(PICTURES)}."
        )
    if x not in AXES:
        raise UsageError(f"There is no axis {x!r}; there are {', '.join(AXES)}.")
    tasks = sorted({run.settings["task"] for run in runs if "task" in run.settings})
    if len(tasks) > 1:
        raise UsageError(
            f"The runs are of different tasks: {', '.join(tasks)}.", "Plot each task by itself."
        )
    figure, axes = new_figure(x, tasks[0] if tasks else "")
    if len(runs) == 1:
        axes.set_title(runs[0].name)
        draw_population(axes, runs[0], x)
    else:
        draw_comparison(axes, groups_of(runs) if group else [[run] for run in runs], x)
    write_atomically(path, rendered(figure, path.suffix.lower()))


# --- what differs ---------------------------------------------------------------------------


def groups_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in nothing but the seed stand together; one that tells nothing of its
    settings stands alone."""
    groups: dict = {}
    for number, run in enumerate(runs):
        learned = {k: v for k, v in run.settings.items() if k not in LENGTH | {"seed"}}
        groups.setdefault(repr(sorted(learned.items())) if learned else number, []).append(run)
    return list(groups.values())


def labels_of(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A label for each group: the settings in which the groups differ, else its first run's name;
    what would be the same label twice is told apart by names."""
    known = [group[0].settings for group in groups]
    names = [name for name in dict.fromkeys(n for s in known for n in s) if differs(name, known)]
    if "seed" in names:
        names.remove("seed")
        if all(len(group) == 1 for group in groups):
            names.append("seed")  # what matters least comes last
    labels = [
        ", ".join(f"{name.replace('_', ' ')} {shown(s[name])}" for name in names if name in s)
        for s in known
    ]
    count = Counter(labels)
    for number, (group, label) in enumerate(zip(groups, labels, strict=True)):
        if not label:
            labels[number] = group[0].name
        elif count[label] > 1:
            labels[number] = f"{label}, {group[0].name}"
        if len(group) > 1:
            labels[number] += f" ({len(group)} seeds)"
    return labels


def shown(value) -> str:
    text = f"{value}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def differs(name: str, settings: Sequence[dict]) -> bool:
    """Whether a setting has two values or more among those who tell it."""
    return name not in LENGTH and len({repr(s[name]) for s in settings if name in s}) > 1


# --- drawing --------------------------------------------------------------------------------


def new_figure(x: str, title: str):
    """(figure, axes) without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if x == "steps":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(AXES[x])
    axes.set_ylabel("return of an episode")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure, axes


def rendered(figure, suffix: str) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix[1:], dpi=120)
    return picture.getvalue()


def draw_population(axes: Axes, run: Run, x: str) -> None:
    place = run.axis(x)
    worst, best = run.field("worst"), run.field("best")
    axes.fill_between(
        place, worst, best, alpha=0.15, linewidth=0, label="population, worst to best"
    )
    axes.plot(place, run.field("mean"), linewidth=1.5, label="population, mean")
    axes.plot(*run.evaluations(x), "o-", markersize=4, linewidth=1, label="deterministic policy")
    axes.legend(frameon=False)


def draw_comparison(axes: Axes, groups: Sequence[Sequence[Run]], x: str) -> None:
    """The deterministic policies' returns; for a run alone its population's mean, faintly, too."""
    from matplotlib import colormaps

    few = len(groups) <= 10
    palette = colormaps["tab10" if few else "viridis"]
    for number, (group, label) in enumerate(zip(groups, labels_of(groups), strict=True)):
        colour = palette(number if few else number / (len(groups) - 1))
        if len(group) == 1:
            (run,) = group
            axes.plot(run.axis(x), run.field("mean"), color=colour, linewidth=1, alpha=0.3)
            place, mean = run.evaluations(x)
        else:
            place, returns = common(group, x)
            mean = returns.mean(axis=0)
            axes.fill_between(
                place,
                returns.min(axis=0),
                returns.max(axis=0),
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
        marker = "o" if len(place) < 50 else ""
        axes.plot(
            place, mean, marker=marker, color=colour, markersize=3, linewidth=1.5, label=label
        )
    axes.legend(frameon=False, fontsize="small")


def common(group: Sequence[Run], x: str) -> tuple[np.ndarray, np.ndarray]:
    """Evaluations of all runs at the same places, linear between their own: (M,) and (runs, M)
    float64. The places are those of all runs, where every run has got to."""
    curves = [run.evaluations(x) for run in group]
    for run, (place, _) in zip(group, curves, strict=True):
        if len(place) == 0:
            raise UsageError(
                f"{run.name} has no evaluation yet.", "Leave out that run, or --group."
            )
    first = max(place[0] for place, _ in curves)
    last = min(place[-1] for place, _ in curves)
    places = np.unique(np.concatenate([place for place, _ in curves]))
    places = places[(first <= places) & (places <= last)]
    if len(places) == 0:
        raise UsageError(
            f"The {len(group)} runs like {group[0].name} have no {AXES[x]} in common.",
            "Draw them against another axis, or without --group.",
        )
    return places, np.array([np.interp(places, *curve) for curve in curves])
