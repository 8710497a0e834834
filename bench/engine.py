"""Speed of the batch engine on this machine, all in one run, one thread, best of several turns.

Networks are what a short training of CartPole leaves, stepped through the observations that they
saw, so spikes are as frequent as in use. NumPy's float32 network, as many members in one array as
suit it best, and the firmware's C core, one call from Python a control step (1.5 us), take turns
with the engine, and the ratios are what to look at: the machine may be shared.

    python bench/engine.py [--json]
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np

from ecedge.engine import Batch, CoreNetwork, kernels
from ecedge.model import ObservationMap, Policy, decode_action
from ecedge.reference import centered_ranks
from ecedge.tasks import find_task
from ecedge.training.learner import Learner
from ecedge.training.rollout import Population
from ecedge.training.settings import Settings

TASK = "CartPole-v1"
POPULATION = 256
GENERATIONS = 12
STEPS = 20  # control steps that are timed
TURNS = 7


@dataclass(frozen=True)
class Case:
    """A trained population and what it saw. raw: (STEPS, POPULATION, n_obs) int16."""

    settings: Settings
    rho: np.ndarray
    observation_map: ObservationMap
    raw: np.ndarray

    @property
    def spec(self):
        return self.settings.network(find_task(TASK))

    def networks(self, kernel: str | None = None) -> Batch:
        batch = Batch(self.spec, POPULATION, threads=1, kernel=kernel)
        batch.set_map(self.observation_map)
        batch.sample(self.rho, 0, GENERATIONS)
        return batch


def train_case(neurons: int) -> Case:
    task = find_task(TASK)
    settings = Settings(TASK, neurons=neurons, population=POPULATION)
    spec = settings.network(task)
    learner = Learner(settings, task)
    with Population(task, learner.networks) as population:
        for generation in range(GENERATIONS):
            moments = learner.begin()
            learner.finish(population.roll_out(generation, moments).returns, moments)
    learner.begin()
    networks, plants = learner.networks, task.make(POPULATION)
    networks.reset()
    frozen = learner.policy().observation_map
    observations = plants.reset(GENERATIONS)
    raw = []
    for _ in range(STEPS):
        raw.append(frozen.encode(observations))
        observations, *_ = plants.step(decode_action(spec, networks.step(raw[-1])))
    return Case(settings, learner.search.rho, frozen, np.stack(raw))


def time_engine(case: Case, kernel: str) -> tuple[float, float]:
    """(seconds for all control steps, activity)."""
    batch = case.networks(kernel)
    out = np.zeros((POPULATION, case.spec.n_act), np.int16)
    begun = time.perf_counter()
    for raw in case.raw:
        batch.step(raw, out=out)
    return time.perf_counter() - begun, batch.activity


def time_core(case: Case, members: int = 4) -> float:
    """Seconds for all control steps of all members, measured on some."""
    batch = case.networks()
    cores = [
        CoreNetwork(Policy(case.spec, case.observation_map, batch.store(member)))
        for member in range(members)
    ]
    begun = time.perf_counter()
    for member, core in enumerate(cores):
        for raw in case.raw[:, member]:
            core.step(raw)
    return (time.perf_counter() - begun) * POPULATION / members


def time_numpy(case: Case, members: int, control_steps: int = 3) -> float:
    """The same network in float32 NumPy, all of its members in one array."""
    spec, obs = case.spec, case.observation_map
    batch = case.networks()
    stored = np.stack([batch.store(member) for member in range(members)])
    bits = np.unpackbits(stored.view(np.uint8), axis=1, bitorder="little").astype(np.float32)
    bits = bits.reshape(members, spec.n_rows, spec.n_neurons)
    sign = np.where(np.arange(spec.n_neurons) < spec.n_exc, 1, -1).astype(np.float32)
    w_in = bits[:, : spec.n_obs] - bits[:, spec.n_obs : 2 * spec.n_obs]
    w_rec = np.ascontiguousarray(bits[:, spec.rows_rec] * sign[:, None])
    w_out = np.ascontiguousarray((bits[:, spec.rows_out] * sign).transpose(0, 2, 1))
    gain = (obs.multiplier / 2.0**obs.shift / 2.0**spec.input_shift).astype(np.float32)
    keep_c, keep_m, keep_o = (
        np.float32(1 - 2.0**-shift)
        for shift in (spec.current_shift, spec.membrane_shift, spec.output_shift)
    )
    current = np.zeros((members, 1, spec.n_neurons), np.float32)
    membrane, spikes = current.copy(), current.copy()
    output = np.zeros((members, 1, spec.n_act), np.float32)
    begun = time.perf_counter()
    for raw in case.raw[:control_steps, :members]:
        drive = ((raw - obs.offset).astype(np.float32) * gain)[:, None] @ w_in
        for _ in range(spec.substeps):
            current = keep_c * current + spikes @ w_rec
            membrane = keep_m * membrane + current + drive
            spikes = (membrane >= 64).astype(np.float32)
            membrane *= 1 - spikes
            output = keep_o * output + spikes @ w_out * 128
    seconds = time.perf_counter() - begun
    return seconds * POPULATION / members * STEPS / control_steps


def time_evolution(case: Case, kernel: str) -> tuple[float, float]:
    """Seconds a member for sampling its synapses, and for its share of the update."""
    batch = case.networks(kernel)
    ranks = centered_ranks(np.random.default_rng(0).normal(size=POPULATION))
    begun = time.perf_counter()
    batch.sample(case.rho, 0, GENERATIONS)
    sampled = time.perf_counter()
    batch.gradient(ranks)
    done = time.perf_counter()
    return (sampled - begun) / POPULATION, (done - sampled) / POPULATION


def measure(neurons: int) -> list[dict]:
    case = train_case(neurons)
    substeps = STEPS * POPULATION * case.spec.substeps
    core = np.inf
    numpy, members = min((time_numpy(case, members), members) for members in (8, 64, POPULATION))
    engine = dict.fromkeys(kernels(), np.inf)
    sample, update = dict(engine), dict(engine)
    for _ in range(TURNS):
        core = min(core, time_core(case))
        numpy = min(numpy, time_numpy(case, members))
        for kernel in engine:
            seconds, activity = time_engine(case, kernel)
            engine[kernel] = min(engine[kernel], seconds)
            sampling, updating = time_evolution(case, kernel)
            sample[kernel] = min(sample[kernel], sampling)
            update[kernel] = min(update[kernel], updating)
    return [
        {
            "neurons": neurons,
            "kernel": kernel,
            "activity": activity,
            "ns_per_substep": seconds / substeps * 1e9,
            "numpy_ratio": numpy / seconds,
            "core_ratio": core / seconds,
            "sample_us": sample[kernel] * 1e6,
            "update_us": update[kernel] * 1e6,
        }
        for kernel, seconds in engine.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--neurons", type=int, nargs="+", default=[64, 128, 256, 512])
    options = parser.parse_args()
    rows = [row for neurons in options.neurons for row in measure(neurons)]
    if options.json:
        print(json.dumps(rows))
        return
    print("            spikes     ns a substep   times as fast as    us a member to")
    print("  N kernel  a substep  and member     NumPy   C core      sample   update")
    for row in rows:
        print(
            f"{row['neurons']:>3} {row['kernel']:7} {row['activity']:8.1%}  "
            f"{row['ns_per_substep']:10.0f}   {row['numpy_ratio']:8.0f} {row['core_ratio']:8.1f}  "
            f"{row['sample_us']:10.2f} {row['update_us']:8.2f}"
        )


if __name__ == "__main__":
    main()
