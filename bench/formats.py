"""Does eight-bit state cost returns? The one-bit network in int8, in int16 and in float64.

All else is equal: synapses are drawn from the same streams, ranked and evolved by the same search,
on the same episodes. int8 is the engine, which is what devices run. int16 has the same shifts for
decays, FRACTION bits behind the point and saturates 2^(9 - FRACTION) thresholds from 0; float64
rounds nothing, saturates nothing, clips no input, and decays by 1 - 2^-k. Both take their inputs
from the same running statistics as the engine, rounded to their own grid or not at all.

    python bench/formats.py [--tasks CartPole-v1 ...] [--seeds 3] [--steps 3e6] [--out FOLDER]

Prints a table in Markdown, `ahead`: of the first format, seed by seed, ± the deviation. FOLDER
gets formats.jsonl, a line a run, and the runs, which go on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ecedge.engine import Batch, Rivals, signed_weights
from ecedge.errors import EcedgeError, PolicyError
from ecedge.model import OUTPUT_ONE
from ecedge.training.compare import judge, open_run, runs_of
from ecedge.training.kinds import KINDS
from ecedge.training.normaliser import Normaliser, input_scale
from ecedge.training.one_bit import OneBit
from ecedge.training.real import RealKind, RealPolicy, Scale, decode, save_real_policy
from ecedge.training.settings import Settings

FRACTION = 6  # of int16


class WideNetworks(Rivals):
    """One-bit networks whose state is wider than the engine's."""

    def __init__(self, kind: Wide, population: int, threads: int | None, bits: bool = False):
        super().__init__(kind.model, kind.spec, population, threads, fraction=kind.fraction)
        self._kind = kind
        self._output = np.zeros((population, kind.spec.n_act))
        self._low = np.array(kind.task.low, np.float32)
        self._high = np.array(kind.task.high, np.float32)
        self._bits = Batch(kind.spec, population, threads) if bits else None

    def sample(self, rho, seed: int, generation: int) -> None:
        self._bits.sample(rho, seed, generation)
        for member in range(self.population):
            self.load(member, signed_weights(self.spec, self._bits.store(member)))

    def gradient(self, ranks) -> np.ndarray:
        return self._bits.gradient(ranks)

    def set_map(self, scale: Scale) -> None:
        self._scale = scale

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        output = self._output[members]
        inputs = self._kind.inputs(self._scale, observations)
        self.step_part(members.start, inputs, live, out=output)
        return decode(self.spec, output / OUTPUT_ONE, self._low, self._high)


class Wide(OneBit):
    """A one-bit kind of network in another format."""

    file = "policy.npz"
    model: str
    fraction = 0

    def __init__(self, settings: Settings, task):
        super().__init__(settings, task)
        shift, gain = input_scale(settings.input_gain, task.n_obs)
        self._drive = gain / 2**shift  # of one deviation

    def networks(self, population, threads=None):
        return WideNetworks(self, population, threads, bits=True)

    def freeze(self, normaliser: Normaliser) -> Scale:
        return Scale.of(normaliser)

    def policy(self, search, scale):
        weights = signed_weights(self.spec, search.deterministic()).astype(np.float32)
        return RealPolicy(self.model, self.spec, scale, weights)

    def controllers(self, policy, population, threads=None):
        networks = WideNetworks(self, population, threads)
        networks.set_map(policy.scale)
        for member in range(population):
            networks.load(member, policy.weights.astype(np.int8))
        return networks

    def prove(self, policy):
        return policy

    def save(self, path, policy, info) -> None:
        save_real_policy(path, policy, info)

    read = RealKind.read

    def inputs(self, scale: Scale, observations) -> np.ndarray:
        """What drives the network: (M, n_obs) float64."""
        if not np.isfinite(observations).all():
            raise PolicyError("An observation is not a finite number.")
        return (observations - scale.mean) * scale.factor * self._drive


class Float64(Wide):
    model = "float64"


class Int16(Wide):
    model, fraction = "int16", FRACTION

    def inputs(self, scale, observations):
        exact = super().inputs(scale, observations)
        return np.clip(np.rint(exact * 2.0**self.fraction), -32767, 32767)


FORMATS = {"int8": "one-bit", "int16": "int16", "float64": "float64"}
KINDS.update({"int16": Int16, "float64": Float64})


def study(task: str, options, folder: Path) -> list[dict]:
    """An outcome for every format and seed."""
    settings = Settings(
        task,
        steps=round(options.steps),
        population=options.population,
        neurons=options.neurons,
        horizon=options.horizon,
        evaluation_episodes=options.episodes,
    )
    kinds = [FORMATS[name] for name in options.formats]
    names = {kind: name for name, kind in FORMATS.items()}
    found = []
    for run, place in runs_of(settings, kinds, options.seeds, folder / task.replace(":", "-")):
        begun = time.perf_counter()
        trainer = open_run(run, place, options.threads)
        for _ in trainer:
            pass
        outcome = judge(trainer, options.threads)
        found.append({"task": task, "format": names[run.kind], **asdict(outcome)})
        seconds = time.perf_counter() - begun
        print(
            f"{task} {found[-1]['format']} seed {run.seed}: {outcome.mean:.1f} after "
            f"{outcome.steps:,} steps, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return found


def rows(found: list[dict]) -> list[str]:
    """A line of the table for each format of a task."""
    by_format: dict[str, list[dict]] = {}
    for run in found:
        by_format.setdefault(run["format"], []).append(run)
    lines = []
    first = np.array([run["mean"] for run in next(iter(by_format.values()))])
    for name, runs in by_format.items():
        means = np.array([run["mean"] for run in runs])
        ahead = means - first  # of the same seed in the first format
        told = "" if name == next(iter(by_format)) else f"{ahead.mean():+.1f} ± {ahead.std():.1f}"
        lines.append(
            f"| {runs[0]['task']} | {name} | {', '.join(f'{mean:.0f}' for mean in means)} "
            f"| {means.mean():.1f} ± {means.std():.1f} | {told} "
            f"| {np.mean([run['activity'] for run in runs]):.1%} "
            f"| {np.mean([run['steps'] for run in runs]) / 1e6:.2f} M |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["CartPole-v1", "Pendulum-v1"])
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=float, default=3e6, help="plant steps of each run")
    parser.add_argument("--population", type=int, default=Settings.population)
    parser.add_argument("--neurons", type=int, default=Settings.neurons)
    parser.add_argument("--horizon", type=int, help="most steps of a training episode")
    parser.add_argument("--episodes", type=int, default=Settings.evaluation_episodes)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/formats"))
    options = parser.parse_args()
    print(
        "| Task | state | mean return of each seed | mean | less the first's | spikes | env steps |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    log = options.out / "formats.jsonl"
    for number, task in enumerate(options.tasks):
        found = study(task, options, options.out)
        with open(log, "a" if number else "w") as file:
            file.writelines(json.dumps(run) + "\n" for run in found)
        print("\n".join(rows(found)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except EcedgeError as error:
        sys.exit(f"formats: {error}")
