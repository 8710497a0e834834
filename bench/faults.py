"""What a bad desk costs: hardware in the loop on lines that fail, and through restarts.

    python bench/faults.py [--board virtual --board mps2-an386 ...] [--episodes 10] [--restarts 100]

A CartPole policy is trained, and every board drives the same episodes: on a good line, with 1 % of
all bytes flipped, with 1 % lost, and with a connection that is cut every two seconds. Then hosts
are killed in the middle of episodes, one after another, and a last one drives the episodes; and the
device is killed in the middle of episodes as often, while one `ecedge hil` goes on. Each time the
returns must be those of the good line, without a differing bit. Prints a table in Markdown.

Latencies are of this machine's sockets and emulators, no board's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import ecedge.devices
from ecedge.boards.emulator import Running, launch
from ecedge.devices import connect_running, parse_device, run_board
from ecedge.hil import Episode, run_episodes
from ecedge.link import Device, Faults, Proxy, open_transport
from ecedge.model import Policy
from ecedge.policy_file import load_policy
from ecedge.rig import parse_rig
from ecedge.tasks import Task, find_task
from ecedge.testrun import Observer, Outcome, Plan, Quarantine, run_rig
from ecedge.training.settings import Settings
from ecedge.training.trainer import Trainer

BOARDS = ["virtual", "mps2-an386", "microbit", "riscv32-virt"]
TASK = "CartPole-v1"
NETWORK = {"neurons": 32, "substeps": 4, "population": 64, "target": 500.0}
LINES = {
    "good": Faults(),
    "1 % of bytes flipped": Faults(flip=0.01),
    "1 % of bytes lost": Faults(drop=0.01),
    "cut every 2 s": Faults(cut_every=2.0),
}
PATIENCE = 60.0  # seconds for a host that was started to be in an episode
SEED = 7


@dataclass(frozen=True)
class Row:
    """What one run of the episodes came to. connections: to the device; resends: requests that the
    last host sent more than once."""

    what: str
    episodes: list[Episode]
    seconds: float
    resends: int
    connections: int

    @property
    def returns(self) -> list[float]:
        return [episode.total for episode in self.episodes]

    @property
    def differing_bits(self) -> int:
        return sum(episode.differing_bits for episode in self.episodes)

    def __str__(self) -> str:
        latencies = [step.latency * 1000 for episode in self.episodes for step in episode.steps]
        median, p99 = np.percentile(latencies, (50, 99))
        returns = ", ".join(f"{value:.0f}" for value in self.returns)
        return (
            f"{self.what} | {len(latencies):,} | {self.resends:,} | {self.connections} "
            f"| {median:.2f} | {p99:.1f} | {self.seconds:.0f} | {returns} | {self.differing_bits}"
        )


HEAD = (
    "| board | line | steps | sent again | connections | median ms | p99 ms | seconds | returns "
    "| differing bits |\n|---|---|---|---|---|---|---|---|---|---|"
)


def trained(folder: Path) -> Policy:
    trainer = Trainer(Settings(TASK, **NETWORK), folder / "run")
    for _ in trainer:
        pass
    return load_policy(trainer.policy_file)[0]


# -- lines ---------------------------------------------------------------------------------------


@contextmanager
def serving(port: str, faults: Faults) -> Iterator[Proxy]:
    with Proxy(port, faults, SEED) as proxy:
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        yield proxy
        proxy.stop()
        thread.join()


def on_line(what: str, port: str, policy: Policy, task: Task, episodes: int) -> Row:
    begun = time.monotonic()
    with serving(port, LINES[what]) as proxy, Device(open_transport(proxy.url)) as device:
        device.upload(policy)
        ran = list(run_episodes(device, policy, task, episodes, SEED))
        return Row(what, ran, time.monotonic() - begun, device.statistics.resends, proxy.hosts)


# -- hosts that are killed -----------------------------------------------------------------------


def host(port: str, policy: Policy, task: Task, episodes: int, told) -> None:
    """A host's whole life, until it is killed: `told` hears of each of its steps."""
    with Device(open_transport(port)) as device:
        device.upload(policy)
        for _ in run_episodes(device, policy, task, episodes, SEED, lambda *_: told.send(0)):
            pass


def kill_hosts(port: str, policy: Policy, task: Task, count: int) -> int:
    """How many hosts were killed in the middle of an episode."""
    chance = random.Random(SEED)
    fork = multiprocessing.get_context("fork")
    killed = 0
    while killed < count:
        hears, tells = fork.Pipe(duplex=False)
        process = fork.Process(target=host, args=(port, policy, task, 1000, tells))
        process.start()
        tells.close()
        for _ in range(chance.randrange(1, 200)):
            if not hears.poll(PATIENCE):
                raise SystemExit(f"Host {killed + 1} did not get into an episode.")
            hears.recv()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        hears.close()
        killed += 1
    return killed


def through_hosts(port: str, policy: Policy, task: Task, episodes: int, count: int) -> Row:
    begun = time.monotonic()
    killed = kill_hosts(port, policy, task, count)
    with Device(open_transport(port)) as device:
        device.upload(policy)
        ran = list(run_episodes(device, policy, task, episodes, SEED))
        seconds = time.monotonic() - begun
        what = f"after {killed} hosts that were killed in an episode"
        return Row(what, ran, seconds, device.statistics.resends, killed + 1)


# -- a device that is killed ---------------------------------------------------------------------


class Killer(Observer):
    """Ends the device's process in the middle of episodes, `left` times."""

    def __init__(self, left: int, running: Callable[[], Running]):
        self.killed = 0
        self._left = left
        self._running = running
        self._chance = random.Random(SEED)
        self._at = self._chance.randrange(20, 700)

    def on_step(self, *_) -> None:
        self._at -= 1
        if self._at == 0 and self.killed < self._left:
            self._running().process.kill()
            self.killed += 1
            self._at = self._chance.randrange(20, 700)


def through_restarts(board: str, policy: Policy, task: Task, episodes: int, count: int) -> Row:
    """Runs the episodes again and again until the device was killed `count` times: the last ones
    are told."""
    started: list[Running] = []

    def recorded(*words, **more) -> Running:
        started.append(launch(*words, **more))
        return started[-1]

    ecedge.devices.launch = recorded
    try:
        rig = parse_rig(f'[devices.killed]\nemulate = "{board}"\n')
        killer = Killer(count, lambda: started[-1])
        plan = Plan(episodes, SEED, retries=20)
        begun, ran, attempts = time.monotonic(), [], 0
        while killer.killed < count:
            run = run_rig(rig, rig.devices, policy, task, plan, Quarantine(()), [killer])
            (result,) = run.devices
            if result.outcome is not Outcome.PASSED:
                raise SystemExit(f"{board}: {result.outcome}: {result.message}")
            ran, attempts = list(result.episodes), attempts + len(result.attempts)
    finally:
        ecedge.devices.launch = launch
    seconds = time.monotonic() - begun
    what = f"through {killer.killed} restarts of the device"
    return Row(what, ran, seconds, 0, attempts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board", action="append", help=f"default: {', '.join(BOARDS)}")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=100)
    options = parser.parse_args()
    task = replace(find_task(TASK), max_episode_steps=500)
    print(HEAD, flush=True)
    all_equal = True
    with tempfile.TemporaryDirectory() as folder:
        policy = trained(Path(folder))
        for board in options.board or BOARDS:
            with run_board(parse_device(board)) as running:
                connect_running(running).close()
                rows = [
                    on_line(what, running.port, policy, task, options.episodes) for what in LINES
                ]
                more = running.port, policy, task, options.episodes, options.restarts
                rows.append(through_hosts(*more))
            rows.append(through_restarts(board, policy, task, options.episodes, options.restarts))
            for row in rows:
                print(f"| {board} | {row} |", flush=True)
                all_equal &= row.returns == rows[0].returns and row.differing_bits == 0
    if not all_equal:
        sys.exit("A run differs from the one on the good line.")


if __name__ == "__main__":
    main()
