"""Kinds of networks on one task, with the same budget of plant steps and the same evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UsageError
from .checkpoint import load_checkpoint
from .curve import LENGTH, read_run, save_curves
from .kinds import find_kind
from .rollout import activity_of, evaluate
from .settings import Settings
from .trainer import CHECKPOINT, Trainer

PICTURE = "compare.png"
WITHOUT_END = 1_000_000_000  # generations: the steps end a run
JUDGED = 3  # a stream of seeds that no Trainer uses


@dataclass(frozen=True)
class Outcome:
    """One run: its best policy's returns on episodes that nothing saw before, the same for all
    kinds."""

    kind: str
    seed: int
    folder: str
    mean: float
    least: float
    deviation: float
    episodes: int
    steps: int
    generations: int
    activity: float | None
    weight_bytes: int
    additions: int
    multiplies: int


def open_run(settings: Settings, folder: Path, threads: int | None = None) -> Trainer:
    """The run of these settings in a folder: a new one, or the one to go on with.

    UsageError: the folder holds a run of other settings.
    """
    if not (folder / CHECKPOINT).exists():
        return Trainer(settings, folder, threads)
    stored = load_checkpoint(folder / CHECKPOINT)[0].to_dict()
    wanted = settings.to_dict()
    other = [name for name in wanted if name not in LENGTH and stored[name] != wanted[name]]
    if other:
        told = ", ".join(f"{name} {stored[name]}, not {wanted[name]}" for name in other)
        raise UsageError(
            f"{folder} holds a run of other settings: {told}.",
            "Give those, or another folder with --out.",
        )
    return Trainer.resume(folder, threads, steps=settings.steps, generations=settings.generations)


def runs_of(
    settings: Settings, kinds: Sequence[str], seeds: int, folder: Path
) -> list[tuple[Settings, Path]]:
    """The runs of a comparison, seed by seed, so that one cut short has something of every kind."""
    if settings.steps is None:
        raise UsageError("A comparison needs a budget.", "Give one: --steps 1e6")
    if seeds < 1:
        raise UsageError(f"{seeds} seeds are no comparison; give at least 1.")
    for kind in kinds:
        find_kind(kind)
    if not kinds or len(set(kinds)) < len(kinds):
        raise UsageError("Every network is to be named once.", "For example: one-bit,gru")
    return [
        (
            replace(settings, kind=kind, seed=seed, generations=WITHOUT_END),
            Path(folder) / f"{kind}-seed{seed}",
        )
        for seed in range(seeds)
        for kind in kinds
    ]


def judge(trainer: Trainer, threads: int | None = None) -> Outcome:
    """What a finished run has come to."""
    settings = trainer.settings
    kind = find_kind(settings.kind)(settings, trainer.task)
    _, policy = trainer.best
    episodes = settings.evaluation_episodes
    words = np.random.SeedSequence((settings.seed, JUDGED)).generate_state(episodes)
    networks = kind.controllers(policy, episodes, threads)
    returns = evaluate(networks, trainer.task, [int(word) >> 1 for word in words], threads)
    activity = activity_of(networks)
    cost = kind.cost(activity or 0.0)
    return Outcome(
        kind=settings.kind,
        seed=settings.seed,
        folder=str(trainer.folder),
        mean=float(returns.mean()),
        least=float(returns.min()),
        deviation=float(returns.std()),
        episodes=episodes,
        steps=trainer.steps,
        generations=trainer.generation,
        activity=activity,
        weight_bytes=cost.weight_bytes,
        additions=cost.additions,
        multiplies=cost.multiplies,
    )


def draw(outcomes: Sequence[Outcome], folder: Path) -> Path:
    """Returns against plant steps, a mean line and the seeds' range for each kind; runs so short
    that those of a kind have no steps in common get a line each."""
    path = Path(folder) / PICTURE
    runs = [read_run(outcome.folder) for outcome in outcomes]
    try:
        save_curves(path, runs, "steps", group=True)
    except UsageError:
        save_curves(path, runs, "steps")
    return path


def table(outcomes: Sequence[Outcome]) -> str:
    """In Markdown, a line a kind."""
    lines = [
        "| network | mean return of each seed | mean | spread | env steps | weight bytes "
        "| additions | multiplies | spikes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        runs = sorted((o for o in outcomes if o.kind == kind), key=lambda run: run.seed)
        means = [run.mean for run in runs]
        digits = max(0, min(3, 3 - math.ceil(math.log10(max(1e-9, *map(abs, means))))))
        cells = [
            kind,
            ", ".join(f"{mean:.{digits}f}" for mean in means),
            f"{np.mean(means):.{digits}f}",
            f"{max(means) - min(means):.{digits}f}",
            f"{np.mean([run.steps for run in runs]):,.0f}",
            f"{runs[0].weight_bytes:,}",
            f"{np.mean([run.additions for run in runs]):,.0f}",
            f"{np.mean([run.multiplies for run in runs]):,.0f}",
            "" if runs[0].activity is None else f"{np.mean([r.activity for r in runs]):.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


EXPLANATION = (
    "spread: the best seed's mean less the worst's. additions, multiplies: of weights or products "
    "in one control step, by formula; where there are spikes, from their measured frequency (the "
    "last column: of a neuron in a substep). Inputs of one bit count two additions each."
)
