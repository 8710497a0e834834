"""What the link makes of its line: uploads against baud / 10, steps against their bytes' own time.

    python bench/link.py [--lines virtual?baud=115200 ...] [--steps 500] [--json]

`baud / 10` is what a line carries of bytes; `frames` is what it can carry of an upload with the
headers, checksums and COBS codes that blocks of the device's longest size cost, and nothing else.
`beyond` is what an upload took besides its blocks' own time: its questions, and everyone's delays.
A step's limit is the time of its request and its reply on the line; the network's own comes on
top. An emulated board's uploads are timed by its own clock, by which its line goes. Faults are
those of `ecedge proxy`, a chance for each byte of both directions. The emulator of AVRs keeps the
line's speed; QEMU's serial lines have none.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass

import numpy as np

from ecedge.devices import connect_running, parse_device, run_board
from ecedge.link import Device, Faults, FaultyTransport
from ecedge.link.codec import BITS_PER_BYTE, frame_size
from ecedge.link.upload import BLOCK_HEADER, send_image
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.reference import with_golden_trace

LINES = [
    "virtual?baud=115200",
    "virtual?baud=115200&fastest=1000000",
    "virtual?baud=115200&fastest=3000000",
    "mega2560",
    "uno",
]
FAULTY = "virtual?baud=115200"
FAULTS = {"1 % flipped": Faults(flip=0.01), "1 % dropped": Faults(drop=0.01)}
SHAPES = [(17, 6, 512), (24, 8, 160), (8, 4, 32)]  # the largest that the device takes
UPLOADS = 3  # the median counts


@dataclass(frozen=True)
class Row:
    """Rates are bytes of an image a second, times milliseconds."""

    line: str
    faults: str
    baud: int
    image: int
    upload: float
    frames: float  # the limit of `upload` with the cost of frames
    beyond: float  # of an upload
    lost: int  # blocks of an upload
    median: float
    p99: float
    limit: float
    step: float  # the network's own share of `median`


def random_policy(shape: tuple[int, int, int]) -> Policy:
    n_obs, n_act, n_neurons = shape
    rng = np.random.default_rng(1)
    spec = NetworkSpec(n_obs, n_act, n_neurons, substeps=1)
    plain = ObservationMap([0] * n_obs, [64] * n_obs, [4] * n_obs, [8] * n_obs)
    words = rng.integers(0, 2**32, spec.n_words, np.uint32)
    return with_golden_trace(Policy(spec, plain, words), 2)


def fitting_policy(device: Device) -> Policy:
    hello = device.hello
    for shape in SHAPES:
        policy = random_policy(shape)
        limits = (hello.max_obs, hello.max_act, hello.max_neurons, hello.max_image)
        if all(n <= most for n, most in zip((*shape, len(policy.image)), limits, strict=True)):
            return policy
    raise SystemExit(f"{hello.board} has no room for any policy of this program.")


def measure_upload(device: Device, policy: Policy, own_clock: bool) -> tuple[float, int]:
    """(seconds, lost blocks) of the median upload."""
    taken = []
    for _ in range(UPLOADS):
        lost, asked, began = device.statistics.lost_blocks, uptime(device), uptime(device)
        begin = time.perf_counter()
        send_image(device, policy.image)
        seconds = time.perf_counter() - begin
        if own_clock:
            seconds = uptime(device) - began - (began - asked)  # asking takes its time, too
        taken.append((seconds, device.statistics.lost_blocks - lost))
        device.upload(policy)  # proves it, and ends the upload
    return sorted(taken)[UPLOADS // 2]


def uptime(device: Device) -> float:
    return device.status().uptime_ms / 1000


def blocks_size(image: int, block: int) -> int:
    """Bytes on the line of the blocks of an image."""
    whole, rest = divmod(image, block)
    return whole * frame_size(BLOCK_HEADER + block) + (rest and frame_size(BLOCK_HEADER + rest))


def measure_steps(device: Device, policy: Policy, steps: int) -> tuple[np.ndarray, float]:
    """Round trips, (steps,) milliseconds, and those that a network's step takes of each."""
    raw = np.random.default_rng(2).integers(-500, 500, (steps, policy.spec.n_obs)).astype(np.int16)
    device.reset(digest=False, silence_ms=60000)
    taken = []
    for counts in raw:
        device.step(counts)
        taken.append(1000 * device.round_trip)
    own = 1000 * device.status().mean_ticks / device.hello.tick_hz
    device.stop()
    return np.array(taken), own


def measure(line: str, faults: str, steps: int) -> Row:
    spec = parse_device(line)
    with run_board(spec) as running:
        transport = connect_running(running, spec.baud or spec.board.baud)
        if faults:
            transport = FaultyTransport(transport, FAULTS[faults], seed=1)
        with Device(transport, fastest=spec.fastest) as device:
            policy = fitting_policy(device)
            device.upload(policy)  # the line has the speed that it will have
            baud = transport.baud
            seconds, lost = measure_upload(device, policy, spec.emulated)
            times, own = measure_steps(device, policy, steps)
            block = device.hello.max_payload - BLOCK_HEADER
    image = len(policy.image)
    step_bytes = frame_size(2 * policy.spec.n_obs) + frame_size(12 + 2 * policy.spec.n_act)
    return Row(
        line,
        faults,
        baud,
        image,
        image / seconds,
        baud / BITS_PER_BYTE * block / frame_size(BLOCK_HEADER + block),
        1000 * (seconds - blocks_size(image, block) * BITS_PER_BYTE / baud),
        lost,
        float(np.median(times)),
        float(np.percentile(times, 99)),
        1000 * step_bytes * BITS_PER_BYTE / baud,
        own,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", nargs="+", default=LINES, metavar="DEVICE")
    parser.add_argument("--faulty", default=FAULTY, metavar="DEVICE", help="the line with faults")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print every row as JSON")
    options = parser.parse_args()
    if not options.json:
        print(
            "| Line | faults | baud | image | upload | of baud / 10 | of frames | beyond ",
            end="",
        )
        print("| blocks lost | step, median | p99 | its limit | network |")
        print("|" + "---|" * 13, flush=True)
    cases = [(line, "") for line in options.lines] + [(options.faulty, name) for name in FAULTS]
    for line, faults in cases:
        row = measure(line, faults, options.steps)
        if options.json:
            print(json.dumps(asdict(row)), flush=True)
            continue
        print(
            f"| {line.partition('?')[0]} | {faults} | {row.baud:,} | {row.image:,} B "
            f"| {row.upload:,.0f} B/s | {row.upload / row.baud * BITS_PER_BYTE:.1%} "
            f"| {row.upload / row.frames:.1%} | {row.beyond:.1f} ms | {row.lost} "
            f"| {row.median:.2f} ms | {row.p99:.2f} ms | {row.limit:.2f} ms | {row.step:.2f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
