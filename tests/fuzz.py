"""Fuzzes the device of firmware/core: libFuzzer with AddressSanitizer and UBSan.

    python tests/fuzz.py [--seconds 60] [--corpus build/fuzz/corpus]

tests/c/fuzz_device.c says what an input means. What was found worth keeping stays in the corpus
and is where the next run begins. A finding ends the run with exit code 1, a report and its input.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from test_device_core import BUILTIN, OTHER

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "firmware/core"
SANITIZE = ["-g", "-O2", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
MOST_BYTES = 1024  # of an input
SLOWEST = 10  # seconds that an input may take
PART = 92  # bytes of an upload's request

NOISE, REQUEST, REPEAT, STRANGER, WAIT, PATCH, IMAGE = range(7)
HELLO, RESET, STEP, BEGIN, DATA, COMMIT, STATUS, STOP, PEEK = range(1, 10)


def request(kind: int, payload: bytes = b"") -> bytes:
    """An act of the input: a whole request."""
    return bytes([REQUEST, kind, len(payload)]) + payload


def wait(ms: int) -> bytes:
    return bytes([WAIT]) + struct.pack("<H", ms)


def seeds() -> list[bytes]:
    """Inputs to begin with: an episode, an upload by hand, and one act of every kind."""
    reset = request(RESET, struct.pack("<II", 1, 500))
    step = request(STEP, struct.pack("<5h", 1, -200, 3000, -32768, 32767))
    peek = request(PEEK, struct.pack("<HH", 3, 20))
    hello = request(HELLO, struct.pack("<IH", 0x45474345, 1))
    again = bytes([REPEAT])
    image = OTHER.image
    upload = request(BEGIN, struct.pack("<I", len(image)))
    for at in range(0, len(image), PART):
        upload += request(DATA, struct.pack("<I", at) + image[at : at + PART])
    return [
        reset + step + again + step + peek + request(STATUS) + request(STOP),
        reset + step + wait(499) + step + wait(501) + step,
        upload + request(COMMIT) + reset,
        bytes([PATCH, 1, 1, 33, 0, 0xFF, PATCH, 0, 0]) + reset + step,
        bytes([IMAGE]) + struct.pack("<H", 60) + image[:61],
        bytes([NOISE, 3, 2, STEP, 4, STRANGER, 0x35, 0x12, 0, 0, STEP, 0]),
        hello + again,
    ]


def build(folder: Path) -> Path:
    """The fuzzer, made in `folder`."""
    compiler = shutil.which("clang")
    if not compiler:
        raise SystemExit("clang is missing. Install it: apt-get install clang libclang-rt-dev")
    for name, policy in {"builtin": BUILTIN, "other": OTHER}.items():
        (folder / f"{name}.inc").write_text(",".join(map(str, policy.image)))
    program = folder / "fuzz_device"
    sources = [ROOT / "tests/c/fuzz_device.c", *sorted(CORE.glob("*.c"))]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    command = [compiler, *flags, "-fno-strict-aliasing", *SANITIZE, f"-I{folder}", f"-I{CORE}"]
    made = subprocess.run(
        [*command, *sources, "-o", program], capture_output=True, text=True, timeout=120
    )
    if made.returncode:
        raise SystemExit(
            f"The fuzzer does not build: apt-get install clang libclang-rt-dev\n{made.stderr}"
        )
    return program


def fuzz(program: Path, corpus: Path, seconds: int, seed: int = 1) -> tuple[int, str]:
    """Runs for so long, or to the first finding: executions done, and a report or ""."""
    corpus.mkdir(parents=True, exist_ok=True)
    for k, data in enumerate(seeds()):
        (corpus / f"seed-{k}").write_bytes(data)
    limits = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-timeout={SLOWEST}"]
    command = [program, corpus, *limits, f"-seed={seed}", "-print_final_stats=1", "-verbosity=0"]
    command.append(f"-artifact_prefix={corpus.parent}/finding-")
    run = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=seconds + 120
    )
    report = run.stdout + run.stderr
    done = re.search(r"stat::number_of_executed_units:\s*(\d+)", report)
    return int(done.group(1)) if done else 0, "" if run.returncode == 0 and done else report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=ROOT / "build/fuzz/corpus")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    program = build(options.corpus.parent)
    done, report = fuzz(program, options.corpus, options.seconds, options.seed)
    if report:
        print(report, file=sys.stderr)
        return 1
    kept = len(list(options.corpus.iterdir()))
    print(f"{done:,} executions without a finding; {kept} inputs in {options.corpus}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
