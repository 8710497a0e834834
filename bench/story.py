"""A story to repeat: a trained policy meets a changed plant, and the device learns it anew.

    python bench/story.py [--device mps2-an386] [--seeds 1] [--out build/story]

CartPole is trained in simulation until it is solved. Then half of the pole is gone, the motor is
stronger and acts a step late (tasks/cart-pole-changed.toml): the policy drops the pole. The device
learns by itself, as `ecedge evolve --population 16` does, until an evaluation is SOLVED again or
BUDGET episodes are spent. The picture shows returns by episode on the device. A run that is done is
not done again: remove its folder.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecedge.boards.emulator import check_emulator
from ecedge.boards.toolchain import find_toolchain
from ecedge.devices import open_device, parse_device
from ecedge.errors import EcedgeError, ToolError
from ecedge.evolve import Plan, Run
from ecedge.evolve.run import LINEAGE, LOG
from ecedge.hil import run_episodes
from ecedge.model import Policy
from ecedge.policy_file import load_policy
from ecedge.storage import write_atomically
from ecedge.tasks import Task, find_task
from ecedge.training.curve import new_figure, rendered
from ecedge.training.log import read_log
from ecedge.training.settings import Settings
from ecedge.training.trainer import CHECKPOINT, POLICY, Trainer

STOCK = "CartPole-v1"
CHANGED = Path(__file__).parent.parent / "tasks/cart-pole-changed.toml"
NEURONS, SUBSTEPS = 64, 4
TRAINED = 500.0  # return until which it is trained
SOLVED = 475.0  # mean return at which gymnasium calls CartPole-v1 solved
MEMBERS = 16  # half of the usual: from a policy on, that takes the fewest episodes
BUDGET = 480  # episodes on the device
TRIED = 5  # episodes of the trained policy on the device, on each plant


@dataclass(frozen=True)
class Story:
    """What happened to one seed: returns before and after the change, and while it was learned."""

    seed: int
    before: list[float]
    after: list[float]
    population: int
    log: list[dict]

    @property
    def episodes(self) -> np.ndarray:
        """On the device, at each evaluation: the first is before it learned."""
        return self.population * np.arange(len(self.log) + 1)

    @property
    def evaluations(self) -> list[float]:
        return [float(np.mean(self.after)), *(entry["evaluation"] for entry in self.log)]

    @property
    def recovered(self) -> int | None:
        """Episodes until an evaluation was SOLVED."""
        good = [
            n for n, mean in zip(self.episodes, self.evaluations, strict=True) if mean >= SOLVED
        ]
        return int(good[0]) if good else None

    def __str__(self) -> str:
        took = f"{self.recovered} episodes" if self.recovered else f"not within {BUDGET} episodes"
        steps = sum(entry["steps"] for entry in self.log)
        return (
            f"| {self.seed} | {np.mean(self.before):.0f} | {np.mean(self.after):.0f} | "
            f"{max(self.evaluations):.0f} | {took} | {steps:,} |"
        )


def train(folder: Path, seed: int) -> Policy:
    if (folder / CHECKPOINT).exists():
        trainer = Trainer.resume(folder)
    else:
        shape = {"neurons": NEURONS, "substeps": SUBSTEPS}
        trainer = Trainer(Settings(STOCK, seed=seed, target=TRAINED, **shape), folder)
    for _ in trainer:
        pass
    return load_policy(folder / POLICY)[0]


def try_out(device, policy: Policy, task: Task, seed: int) -> list[float]:
    """Returns of the policy that the device runs, on the plant as it is declared."""
    plant = task.make_varied()
    return [e.total for e in run_episodes(device, policy, task, TRIED, seed, plant=plant)]


def tell(folder: Path, seed: int, name: str) -> Story:
    say(f"[1/3] Training {STOCK}, seed {seed}, until the deterministic policy returns {TRAINED:g}.")
    policy = train(folder / "train", seed)
    changed = find_task(str(CHANGED))
    say(f"[2/3] {TRIED} episodes on {name}, on the stock plant and on the changed one.")
    with open_device(name) as device:
        device.upload(policy)
        before = try_out(device, policy, find_task(STOCK), seed)
        after = try_out(device, policy, changed, seed)
    say(f"  {returns(before)}, then {returns(after)}")
    say(f"[3/3] It learns on {name} until it returns {SOLVED:g}, {BUDGET} episodes at most.")
    learning = folder / "evolve"
    if (learning / LINEAGE).exists():
        run = Run.resume(learning)
    else:
        plan = Plan(changed.declaration, seed, MEMBERS, target=SOLVED, most_episodes=BUDGET)
        run = Run.begin(learning, plan, policy)
    with closing(run.on(lambda: open_device(name))) as generations:
        for generation in generations:
            done = (generation.generation + 1) * run.plan.population
            told = f"mean {generation.mean:5.1f}  best {generation.best:5.1f}"
            say(f"  episode {done:4}  {told}  evaluation {generation.evaluation:5.1f}")
    say(f"  ended: {run.ending}")
    return Story(seed, before, after, run.plan.population, read_log(learning / LOG))


def draw(stories: list[Story], name: str) -> bytes:
    """A PNG: evaluations of all seeds, and the population of the first."""
    figure, axes = new_figure(
        "generations", f"CartPole, changed under a policy that learns: {name}"
    )
    axes.set_xlabel("episodes on the device since the plant changed")
    first = stories[0]
    step = first.population
    level = float(np.mean([story.before for story in stories]))
    axes.axhline(level, color="grey", linestyle="--", linewidth=1, label="trained")
    middle = first.episodes[1:] - step / 2
    spread = [[entry[key] for entry in first.log] for key in ("worst", "best", "mean")]
    axes.fill_between(
        middle,
        *spread[:2],
        alpha=0.15,
        linewidth=0,
        label=f"seed {first.seed}: members",
    )
    axes.plot(middle, spread[2], color="C0", linewidth=1, alpha=0.5, label="and their mean")
    for number, story in enumerate(stories):
        past = np.linspace(-2 * step, 0, len(story.before) + 1)[:-1]
        places = [*past, np.nan, *story.episodes]
        means = [*story.before, np.nan, *story.evaluations]
        look = {"color": f"C{number}", "markersize": 3, "linewidth": 1.5}
        axes.plot(places, means, "o-", label=f"seed {story.seed}", **look)
    axes.axvline(0, color="black", linewidth=1)
    axes.text(-step / 4, 260, "the plant changes", rotation=90, ha="right", va="center", fontsize=8)
    axes.set_ylim(0, 520)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return rendered(figure, ".png")


def device_at_hand(name: str) -> str:
    """`name`, or the virtual device where what it needs is missing, which is said."""
    spec = parse_device(name)
    try:
        if spec.board:
            check_emulator(spec.board)
            find_toolchain(spec.board)
    except ToolError as error:
        say(f"{error}\nGoing on with the virtual device: the same bits, on this computer.")
        return "virtual"
    return name


def returns(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="mps2-an386")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/story"))
    arguments = parser.parse_args()
    try:
        name = device_at_hand(arguments.device)
        stories = [tell(arguments.out / f"seed{s}", s, name) for s in range(arguments.seeds)]
        picture = arguments.out / "story.png"
        write_atomically(picture, draw(stories, name))
    except EcedgeError as error:
        say(f"{error}")
        return error.exit_code
    print("| seed | trained | after the change | best since | solved again after | device steps |")
    print("|---|---|---|---|---|---|", *stories, sep="\n")
    print(f"\n{picture}")
    return 0 if all(story.recovered for story in stories) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; call it again, it goes on where it was.")
