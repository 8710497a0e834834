"""What a bad desk costs a fleet that learns: bad lines, restarts, hosts that are killed.

    python bench/evolve_faults.py [--board virtual --board mps2-an386 ...] [--generations 10]

First a run without devices, which nothing befalls. Then the same run on every board alone, and on
all of them together: 1 % of all bytes flipped in both directions, every device killed and started
again every few seconds, and the host killed (SIGKILL) in the middle of a generation, twice, and
resumed. Each time lineage and hashes must be those of the clean run, and every device must have
learned all in the end. Prints a table in Markdown; exit code 1 where a bit differs.

Seconds are of this machine's sockets and emulators, no board's.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecedge.devices import connect_running, open_device, parse_device, run_board
from ecedge.errors import EcedgeError
from ecedge.evolve import LINEAGE, Lineage, Plan, Run, policy_from_scratch, replay
from ecedge.fleet import Fleet
from ecedge.link import Faults, Proxy
from ecedge.training.log import read_log
from ecedge.training.settings import Settings

BOARDS = ["virtual", "mps2-an386", "microbit", "riscv32-virt"]
TASK = "CartPole-v1"
FLIPPED = Faults(flip=0.01)
SEED = 7
DEADLINE = 1800.0  # seconds for a run
LOOK = 0.05


@dataclass(frozen=True)
class Row:
    """What a run came to. losses: times that hosts lost a device and opened it again."""

    who: str
    generations: int
    restarts: int
    killed: int
    flipped: int
    losses: int
    seconds: float
    rho_hash: str
    is_equal: bool

    def __str__(self) -> str:
        told = "yes" if self.is_equal else "NO"
        return (
            f"| {self.who} | {self.generations} | {self.flipped:,} | {self.restarts} "
            f"| {self.killed} | {self.losses} | {self.seconds:.0f} | {self.rho_hash} | {told} |"
        )


HEAD = (
    "| who learns | generations | bytes flipped | restarts of devices | hosts killed "
    "| devices lost | seconds | probabilities | lineage of the clean run |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class Bench:
    """A board that is killed and started again every few seconds, behind a bad line that stays."""

    def __init__(self, board: str, every: float):
        self.name = board
        self.restarts = 0
        self._spec = parse_device(board)
        self._every = every
        self._chance = random.Random(f"{SEED} {board}")
        self._ending = threading.Event()
        self._running = ExitStack()
        self._proxy = Proxy(self._start(), FLIPPED, SEED)
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._proxy.serve, self._kill)
        ]

    def __enter__(self) -> Bench:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ending.set()
        self._proxy.stop()
        for thread in self._threads:
            thread.join()
        self._proxy.__exit__()
        self._running.close()

    @property
    def url(self) -> str:
        return self._proxy.url

    @property
    def flipped(self) -> int:
        return self._proxy.counts["flip"]

    def _start(self) -> str:
        self._board = self._running.enter_context(run_board(self._spec))
        connect_running(self._board).close()
        return self._board.port

    def _kill(self) -> None:
        while not self._ending.wait(self._every * (0.5 + self._chance.random())):
            self._board.process.kill()
            self._running.close()
            self._proxy.port = self._start()
            self.restarts += 1


# -- hosts ---------------------------------------------------------------------------------------


def host(folder: Path, urls: list[str]) -> int:
    """A host's whole life, until it is killed. Exit code 0: every device has learned all."""
    run = Run.resume(folder)
    crew = Fleet({url: lambda url=url: open_device(url) for url in urls}, grace=300.0)
    for _ in run.by(crew):
        pass
    return 0 if run.settled == urls else 1


@contextmanager
def hosting(folder: Path, urls: list[str]) -> Iterator[subprocess.Popen]:
    command = [sys.executable, __file__, "--host", folder, *urls]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kill_hosts(folder: Path, urls: list[str], generations: int, count: int) -> int:
    """Kills so many hosts in the middle of generations that lie between the first and the last."""
    chance = random.Random(SEED)
    lineage = Lineage.open(folder / LINEAGE)
    for number in range(count):
        with hosting(folder, urls) as process:
            until = time.monotonic() + DEADLINE
            while len(list(lineage)) < 1 + number * (generations - 1) // count:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("A host ended before it was killed.")
                time.sleep(LOOK)
            time.sleep(chance.random())
    return count


def through_faults(
    boards: list[str], begin, clean: bytes, options: argparse.Namespace, folder: Path
) -> Row:
    begun = time.monotonic()
    begin(folder)
    with ExitStack() as stack:
        benches = [stack.enter_context(Bench(board, options.every)) for board in boards]
        urls = [bench.url for bench in benches]
        killed = kill_hosts(folder, urls, options.generations, options.kills)
        with hosting(folder, urls) as process:
            settled = process.wait(DEADLINE) == 0
    twin = replay(Lineage.open(folder / LINEAGE))
    return Row(
        " + ".join(boards),
        twin.generation,
        sum(bench.restarts for bench in benches),
        killed,
        sum(bench.flipped for bench in benches),
        sum(entry["losses"] for entry in read_log(folder / "log.jsonl")),
        time.monotonic() - begun,
        f"{twin.rho_hash:08x}",
        settled and (folder / LINEAGE).read_bytes() == clean,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", action="append", help=f"default: {', '.join(BOARDS)}")
    parser.add_argument("--together", action="store_true", help="only all boards as one fleet")
    parser.add_argument("--neurons", type=int, default=32)
    parser.add_argument("--population", type=int, default=8)
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--horizon", type=int, default=60)
    parser.add_argument("--every", type=float, default=6.0, help="s between kills of a device")
    parser.add_argument("--kills", type=int, default=2, help="of hosts")
    options = parser.parse_args()
    shape = {"neurons": options.neurons, "substeps": 4, "population": options.population}
    policy = policy_from_scratch(Settings(TASK, seed=SEED, **shape))
    plan = Plan(
        TASK,
        seed=SEED,
        population=options.population,
        generations=options.generations,
        certainty=0.5,
        horizon=options.horizon,
    )
    boards = options.board or BOARDS
    print(HEAD, flush=True)
    all_equal = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.monotonic()
        run = Run.begin(folder / "clean", plan, policy)
        for _ in run.by(Fleet({}, simulated=1)):
            pass
        clean = (folder / "clean" / LINEAGE).read_bytes()
        rho_hash, seconds = f"{run.twin.rho_hash:08x}", time.monotonic() - begun
        print(Row("nobody", run.twin.generation, 0, 0, 0, 0, seconds, rho_hash, True), flush=True)
        alone = [] if options.together else [[board] for board in boards]
        for who in [*alone, *([boards] if len(boards) > 1 or options.together else [])]:
            place = folder / "-".join(who)
            row = through_faults(
                who, lambda place: Run.begin(place, plan, policy), clean, options, place
            )
            print(row, flush=True)
            all_equal &= row.is_equal
    return 0 if all_equal else 1


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["--host"]:
            sys.exit(host(Path(sys.argv[2]), sys.argv[3:]))
        sys.exit(main())
    except EcedgeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
