"""What a fleet that learns costs: bytes on its lines, and what its time goes to.

    python bench/fleet.py [--devices 1 2 4 8 64] [--baud 115200] [--population 64]

First the bytes of a generation, both ways, framing included: steps are observations and actions;
any episode begins (MEMBER does here, like RESET) and ends (STOP); evolution's own are the number of
the member, RANKS and LEARN. Then generations on many virtual devices, each on a line of that
speed, against a run of the same members by one thread of this machine: a device's process and the
host's threads share its cores, so what both cost is told beside the time that passes. Tables in
Markdown.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from ecedge.devices import open_device
from ecedge.evolve import Plan, Run, policy_from_scratch
from ecedge.fleet import Fleet
from ecedge.link import FrameReader, MessageType, encode_frame
from ecedge.link.codec import OVERHEAD, REPLY_BIT
from ecedge.model import Policy
from ecedge.training.settings import Settings

TASK = "CartPole-v1"
SEED = 3
NUMBER = 4  # bytes of MEMBER that RESET has not
LEARNING = MessageType.RANKS, MessageType.LEARN


class Tally:
    """Frames and their bytes, both ways, by the kind of message, of all lines together."""

    def __init__(self):
        self.bytes: Counter[int] = Counter()
        self.frames: Counter[int] = Counter()
        self._turn = threading.Lock()

    @contextmanager
    def open(self, spec: str):
        readers = {"host": FrameReader(), "device": FrameReader()}
        with open_device(spec) as device:
            device.trace = lambda who, data: self._note(readers[who].feed(data))
            yield device

    def _note(self, packets) -> None:
        with self._turn:
            for packet in packets:
                kind = packet.type & ~REPLY_BIT
                self.bytes[kind] += len(encode_frame(packet))
                self.frames[kind] += 1


def plan_of(population: int, generations: int, horizon: int) -> Plan:
    numbers = {"population": population, "generations": generations, "horizon": horizon}
    return Plan(TASK, seed=SEED, certainty=0.5, evaluate_every=generations + 1, **numbers)


def ran(plan: Plan, policy: Policy, crew: Fleet):
    """The generations of a run."""
    with tempfile.TemporaryDirectory() as folder:
        return list(Run.begin(Path(folder) / "run", plan, policy).by(crew))


def print_bytes(policy: Policy, devices: list[int], populations: list[int]) -> None:
    print(
        "| devices | members | steps | begin and end of episodes | members' numbers | ranks, LEARN "
        "| own, a member | and with begin and end |\n|---|---|---|---|---|---|---|---|"
    )
    generations = 3
    for count in devices:
        for population in populations:
            tally = Tally()
            crew = Fleet({f"d{k}": partial(tally.open, "virtual") for k in range(count)})
            ran(plan_of(population, generations, 4), policy, crew)
            numbers = NUMBER * tally.frames[MessageType.MEMBER] // 2
            around = tally.bytes[MessageType.MEMBER] - numbers + tally.bytes[MessageType.STOP]
            learning = sum(tally.bytes[kind] for kind in LEARNING)
            sums = tally.bytes[MessageType.STEP], around, numbers, learning
            told = " | ".join(f"{size / generations:,.0f}" for size in sums)
            own = (numbers + learning) / generations / population
            more = own + around / generations / population
            print(f"| {count} | {population} | {told} | {own:.1f} | {more:.1f} |", flush=True)
    print(f"\nA frame is {OVERHEAD + 2} bytes longer than its payload.\n")


def print_times(policy: Policy, devices: list[int], baud: int, plan: Plan, measured: int) -> None:
    print(
        "| who runs members | steps and s a generation | steps/s | a device's steps/s "
        "| host ms a step | devices' ms a step | cores busy |\n|---|---|---|---|---|---|---|"
    )
    for count in [0, *devices]:
        opened: list[int] = []
        crew = crew_of(count, f"virtual?baud={baud}", opened)
        before = usage()
        with tempfile.TemporaryDirectory() as folder:
            generations = iter(Run.begin(Path(folder) / "run", plan, policy).by(crew))
            warm = [next(generations)]
            while len(opened) < count:
                warm.append(next(generations))
            host = time.process_time()
            rest = list(islice(generations, measured))
            host = time.process_time() - host
            generations.close()  # ends all devices, whose time is told then
        steps = sum(generation.steps for generation in rest)
        all_steps = steps + sum(generation.steps for generation in warm)
        seconds = sum(generation.seconds for generation in rest)
        who = f"{count} device{'s' * (count != 1)}" if count else "1 thread that simulates"
        each = f"{steps / seconds / count:,.0f}" if count else ""
        theirs = (usage() - before) / all_steps if count else 0.0
        print(
            f"| {who} | {steps / measured:,.0f} in {seconds / measured:.2f} "
            f"| {steps / seconds:,.0f} | {each} | {host / steps * 1000:.2f} | {theirs * 1000:.2f} "
            f"| {host / seconds + theirs * steps / seconds:.1f} of {os.cpu_count()} |",
            flush=True,
        )


def crew_of(count: int, spec: str, opened: list[int]) -> Fleet:
    """So many devices, which tell when they are opened; a thread that simulates instead of none."""

    @contextmanager
    def opener():
        with open_device(spec) as device:
            opened.append(1)
            yield device

    return Fleet({f"d{k}": opener for k in range(count)}, simulated=not count)


def usage() -> float:
    """Seconds of processors that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_updates(policy: Policy, population: int) -> None:
    """What the host needs for a generation's update, and to draw the next one's members."""
    from ecedge.evolve import Lockstep, Origin
    from ecedge.reference import centered_ranks, step_size

    origin = Origin(policy, SEED, step_size(0.1, population), population, 128)
    twin = Lockstep(origin, 1)
    ranks = centered_ranks(range(population))
    begun, times = time.perf_counter(), 10
    for _ in range(times):
        twin.learn(ranks)
    each = (time.perf_counter() - begun) / times
    print(
        f"\nUpdate and drawing of {population} members by the host: {each * 1000:.1f} ms, "
        f"{each / population / policy.spec.n_synapses * 1e9:.2f} ns a synapse and member."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8, 64])
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--neurons", type=int, default=64)
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--horizon", type=int, default=200)
    options = parser.parse_args()
    shape = {"neurons": options.neurons, "substeps": 4, "population": options.population}
    policy = policy_from_scratch(Settings(TASK, seed=SEED, **shape))
    print_bytes(policy, [1, 4], [32, 128, 512])
    plan = plan_of(options.population, 1000, options.horizon)
    print_times(policy, options.devices, options.baud, plan, options.generations)
    print_updates(policy, options.population)


if __name__ == "__main__":
    main()
