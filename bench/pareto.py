"""The cheapest decision: neurons × substeps against return, instructions, flash and RAM.

python bench/pareto.py [--tasks ...] [--seeds 3] [--out runs/pareto] [--results docs/results/pareto]
python bench/pareto.py --count [--out runs/pareto] [--results docs/results/pareto]
python bench/pareto.py --sizes [--results docs/results/pareto]

Every size is an ordinary run on one thread, in OUT/TASK/NEURONSxSUBSTEPS-seedN, judged on 100 fresh
episodes; the same command goes on where it was stopped. The policy of seed 0 then drives its plant
for an episode from firmware in the emulated Cortex-M4, where instructions are counted (not a
board's cycles), and is built into firmware that has room for nothing else, and into an application
that has nothing else at all: bench/alone.c. RESULTS gets points.csv and a picture; the cheapest
sizes that keep the return are printed in Markdown.

--count makes instructions and bytes in points.csv again, after a change of the firmware: it trains
seed 0 alone, which must earn what it earned, and keeps the returns. --sizes trains and counts
nothing: it makes the bytes again, by policies of random synapses, since none depends on what was
learned.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from boards import counted, counting
from matplotlib.figure import Figure

from ecedge.boards import Board, find_board
from ecedge.boards.build import build
from ecedge.boards.objects import Sizes, program_sizes
from ecedge.boards.registry import MIN_PAYLOAD, Capacity
from ecedge.boards.tables import read_table, write_table
from ecedge.boards.toolchain import find_toolchain
from ecedge.export.project import GARBAGE, Project
from ecedge.hil import run_episodes
from ecedge.model import ObservationMap, Policy
from ecedge.policy_file import load_policy
from ecedge.storage import write_atomically
from ecedge.tasks import find_task
from ecedge.training.compare import judge, open_run
from ecedge.training.curve import rendered
from ecedge.training.settings import Settings

BOARD = "mps2-an386"
ALONE = Path(__file__).with_name("alone.c")
NEURONS = 32, 64, 128, 256
SUBSTEPS = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Problem:
    """enough: the return that every seed has to reach. settings: where not the default."""

    enough: float
    settings: dict


#: Pendulum's torque has to be exact in time: outputs that forget within two substeps, and inputs
#: that make more neurons spike.
TASKS = {
    "CartPole-v1": Problem(490, {"target": 500.0}),
    "Acrobot-v1": Problem(-90, {}),
    "Pendulum-v1": Problem(-250, {"output_shift": 1, "output_gain": 9, "input_gain": 0.6}),
    "InvertedPendulum-v5": Problem(990, {"target": 1000.0, "evaluation_episodes": 20}),
}

#: Instructions of a decision on the same emulated core, with 11 observations and 3 outputs, of
#: networks of other toolkits: measured once, see docs/results.
RIVALS = {"int8 MLP 64-64": 16_800, "int8 LSTM-64": 75_000}


@dataclass(frozen=True)
class Point:
    """A size on a task. returns: of each seed. flash, ram: bytes of firmware that takes this policy
    and no other; alone_flash, alone_ram: of its network without the device around it; image: of the
    policy in both."""

    task: str
    neurons: int
    substeps: int
    returns: tuple[float, ...]
    activity: float
    instructions: int
    flash: int
    ram: int
    image: int
    alone_flash: int
    alone_ram: int

    @property
    def size(self) -> str:
        return f"{self.neurons} × {self.substeps}"

    @property
    def suffices(self) -> bool:
        return min(self.returns) >= TASKS[self.task].enough


# -- training ------------------------------------------------------------------------------------


def settings_of(task: str, neurons: int, substeps: int, seed: int) -> Settings:
    change = TASKS[task].settings
    return Settings(task, seed=seed, neurons=neurons, substeps=substeps, **change)


def train(settings: Settings, folder: Path) -> dict:
    """Trains if it is not done; the judgement."""
    done = folder / "outcome.json"
    if not done.exists():
        trainer = open_run(settings, folder, threads=1)
        for _ in trainer:
            pass
        write_atomically(done, json.dumps(asdict(judge(trainer, threads=1))).encode())
    return json.loads(done.read_text())


def train_all(options: argparse.Namespace, seeds: int) -> None:
    runs = [
        settings_of(task, neurons, substeps, seed)
        for seed in range(seeds)
        for task in options.tasks
        for neurons in NEURONS
        for substeps in SUBSTEPS
    ]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as workers:
        for _ in workers.map(train, runs, (folder_of(options.out, run) for run in runs)):
            pass


def folder_of(out: Path, settings: Settings) -> Path:
    size = f"{settings.neurons}x{settings.substeps}"
    return out / settings.task / f"{size}-seed{settings.seed}"


# -- the board -----------------------------------------------------------------------------------


def measure(tasks: Iterable[str], seeds: int, out: Path) -> Iterable[Point]:
    board = find_board(BOARD)
    with counting(board) as (_, device):
        for task in tasks:
            for neurons in NEURONS:
                for substeps in SUBSTEPS:
                    runs = [settings_of(task, neurons, substeps, seed) for seed in range(seeds)]
                    outcomes = [train(run, folder_of(out, run)) for run in runs]
                    policy, _ = load_policy(folder_of(out, runs[0]) / "policy.onnx")
                    device.upload(policy)
                    (episode,) = run_episodes(device, policy, find_task(task), episodes=1)
                    if episode.differing_bits:
                        raise SystemExit(f"{task}: the board differs from its host twin.")
                    ticks = np.mean([step.ticks for step in episode.steps])
                    yield Point(
                        task,
                        neurons,
                        substeps,
                        tuple(outcome["mean"] for outcome in outcomes),
                        float(np.mean([outcome["activity"] for outcome in outcomes])),
                        round(counted(board, ticks)),
                        **sizes_of(policy, board),
                    )


def sizes_of(policy: Policy, board: Board) -> dict[str, int]:
    """The bytes of a Point, by their names."""
    spec = policy.spec
    room = Capacity(MIN_PAYLOAD, spec.n_obs, spec.n_act, spec.n_neurons, policy_ram=0)
    with tempfile.TemporaryDirectory() as folder:
        built = build(policy, board, folder, room, "python bench/pareto.py")
        alone = link_alone(built.project)
    return {
        "flash": built.sizes.flash,
        "ram": built.sizes.ram,
        "image": len(policy.image),
        "alone_flash": alone.flash,
        "alone_ram": alone.ram,
    }


def link_alone(project: Project) -> Sizes:
    """Of alone.c, with what it needs of the project's sources."""
    toolchain = find_toolchain(project.board)
    sources = [str(path) for path in project.sources if path.parts[0] != "app"]
    flags = [*toolchain.translate(project.cflags), "-nostdlib", GARBAGE, "-Wl,-e,main"]
    files = [str(ALONE.resolve()), *sources, *toolchain.libraries, "-o", "alone.elf"]
    toolchain.run([*flags, *files], project.folder, "link the network alone")
    return program_sizes(project.folder / "alone.elf")


def recounted(points: list[Point], out: Path) -> Iterable[Point]:
    """The same points, with what today's firmware takes."""
    tasks = dict.fromkeys(point.task for point in points)
    again = {(point.task, point.size): point for point in measure(tasks, 1, out)}
    for point in points:
        new = again[point.task, point.size]
        if f"{new.returns[0]:.1f}" != f"{point.returns[0]:.1f}":
            raise SystemExit(
                f"{point.task}, {point.size}: seed 0 returns {new.returns[0]:.1f}, not "
                f"{point.returns[0]:.1f}: train all seeds again."
            )
        yield replace(new, returns=point.returns, activity=point.activity)


@cache
def sizes_of_shape(task: str, neurons: int) -> dict[str, int]:
    """Of any policy with so many neurons: substeps and synapses change what its image says, not
    its size."""
    spec = settings_of(task, neurons, substeps=1, seed=0).network(find_task(task))
    channels = ObservationMap(*(([number] * spec.n_obs) for number in (0, 64, 4, 8)))
    synapses = np.random.default_rng(0).integers(0, 2**32, spec.n_words, np.uint32)
    return sizes_of(Policy(spec, channels, synapses), find_board(BOARD))


# -- results -------------------------------------------------------------------------------------


def read_points(path: Path) -> list[Point]:
    """What `write_points` wrote."""
    points = []
    for row in read_table(path):
        numbers = {name: int(text) for name, text in row.items() if text.isdecimal()}
        returns = tuple(map(float, row["returns"].split()))
        told = {"task": row["task"], "returns": returns, "activity": float(row["activity"])}
        points.append(Point(**numbers, **told))
    return points


def write_points(path: Path, points: list[Point]) -> None:
    rows = [
        asdict(point) | {"returns": " ".join(f"{value:.1f}" for value in point.returns),
                         "activity": f"{point.activity:.4f}"}
        for point in points
    ]  # fmt: skip
    about = "instructions a decision on an emulated Cortex-M4; bytes; return of each seed"
    write_table(path, "make bench-pareto", about, rows)


def table(points: list[Point]) -> str:
    """The cheapest size of each task that suffices."""
    lines = [
        "| task | N × K | return of each seed | spikes | instructions | policy "
        "| network alone: flash | RAM | firmware: flash | RAM |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(point.task for point in points):
        good = [point for point in points if point.task == task and point.suffices]
        if not good:
            lines.append(f"| {task} | none gets every seed to {TASKS[task].enough:g} |||||||||")
            continue
        point = min(good, key=lambda point: point.instructions)
        returns = ", ".join(f"{value:.0f}" for value in point.returns)
        lines.append(
            f"| {task} | {point.size} | {returns} | {point.activity:.0%} | {point.instructions:,} "
            f"| {point.image:,} | {point.alone_flash:,} | {point.alone_ram:,} "
            f"| {point.flash:,} | {point.ram:,} |"
        )
    return "\n".join(lines)


def front(points: list[Point]) -> list[Point]:
    """Those that no cheaper one reaches, by the mean over seeds."""
    best, found = -np.inf, []
    for point in sorted(points, key=lambda point: point.instructions):
        if np.mean(point.returns) > best:
            best = np.mean(point.returns)
            found.append(point)
    return found


def draw(points: list[Point]) -> Figure:
    tasks = list(dict.fromkeys(point.task for point in points))
    figure = Figure(figsize=(11, 2.6 + 2.6 * (len(tasks) > 2)), layout="constrained")
    grid = figure.subplots(-(-len(tasks) // 2), min(2, len(tasks)), squeeze=False)
    for axes, task in zip(grid.flat, tasks, strict=False):
        mine = [point for point in points if point.task == task]
        for number, neurons in enumerate(NEURONS):
            some = [point for point in mine if point.neurons == neurons]
            x = [point.instructions for point in some]
            y = np.array([(np.mean(p.returns), min(p.returns), max(p.returns)) for p in some])
            spread = np.abs(y[:, 1:] - y[:, :1]).T
            axes.errorbar(x, y[:, 0], spread, fmt="o-", ms=4, lw=0.8, color=f"C{number}",
                          capsize=2, label=f"{neurons} neurons")  # fmt: skip
        line = front(mine)
        axes.plot([p.instructions for p in line], [np.mean(p.returns) for p in line], "k--", lw=1,
                  zorder=0, label="front")  # fmt: skip
        for name, instructions in RIVALS.items():
            axes.axvline(instructions, color="0.6", lw=0.8)
            axes.annotate(name, (instructions, 0.03), xycoords=("data", "axes fraction"),
                          rotation=90, fontsize=7, color="0.4", ha="right")  # fmt: skip
        axes.set_xscale("log")
        axes.set_title(task, fontsize=10)
        axes.set_ylabel("mean return")
    for axes in grid[-1]:
        axes.set_xlabel("instructions a decision, emulated Cortex-M4")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/pareto"))
    parser.add_argument("--results", type=Path, default=Path("docs/results/pareto"))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--count", action="store_true", help="make instructions and bytes again")
    only.add_argument("--sizes", action="store_true", help="make only the bytes again")
    options = parser.parse_args()
    path = options.results / "points.csv"
    if options.sizes:
        points = [
            replace(point, **sizes_of_shape(point.task, point.neurons))
            for point in read_points(path)
        ]
    else:
        train_all(options, 1 if options.count else options.seeds)
        if options.count:
            points = list(recounted(read_points(path), options.out))
        else:
            points = list(measure(options.tasks, options.seeds, options.out))
        options.results.mkdir(parents=True, exist_ok=True)
        write_atomically(options.results / "pareto.png", rendered(draw(points), ".png"))
    write_points(path, points)
    print(table(points))


if __name__ == "__main__":
    main()
