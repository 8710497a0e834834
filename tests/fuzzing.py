"""libFuzzer on the firmware's core: builds the fuzzers of tests/fuzz, gives them seeds, runs them.

    python tests/fuzzing.py [--seconds N | --inputs N] [--seed N] [--out FOLDER]

runs each for N seconds, or N inputs, and tells how many it tried. The seeds are docs/vectors in
the fuzzers' own language. An input that breaks a claim stays in FOLDER (build/fuzz), as
FUZZER-crash-HASH; run the fuzzer that lies beside it on it to see the claim again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.reference import with_golden_trace

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "firmware/core"
FUZZERS = ("device", "policy")
LONGEST = {"device": 320, "policy": 1536}  # bytes of an input: longer ones say the same, slower
INPUT_DEADLINE = 10  # seconds for one input: the longest golden trace takes a hundredth
START_AND_END = 60.0  # seconds that a fuzzer may take beyond its time
SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
#: a trap costs a quarter less than a report; the stack tells the line all the same
SANITIZERS += ["-fsanitize-trap=undefined"]
#: the harnesses know what to compare with: watching every comparison costs more than it finds
SANITIZERS += ["-fno-sanitize-coverage=trace-cmp"]
#: the C tests' harness is included, not all of it used
FLAGS = ["-std=c99", "-g", "-O3", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
FLAGS += ["-fno-strict-aliasing"]  # as ecedge.export.project says

BYTES, REQUEST, WAIT, RESET, STEP, UPLOAD, BEGIN, DATA = 0, 1, 4, 6, 7, 8, 9, 10
LIMIT, EPISODE, CLOCK, OPEN, BLOCK, HOSTED, ACT, EVOLVE, LEARN, PRACTICE, TRACKS = range(11, 22)
HELLO_TO_ACT = range(14)
MEMBER = 0x21
UPLOAD_COMMIT = 6


@dataclass(frozen=True)
class Result:
    """What a fuzzer did. finding: the file of the input that broke a claim, and `words` why."""

    executions: int
    finding: Path | None
    words: str


def policy(seed: int, n_obs: int, n_act: int, n_neurons: int) -> Policy:
    """A quick one: a device begins anew with every input."""
    rng = np.random.default_rng(seed)
    spec = NetworkSpec(n_obs, n_act, n_neurons, substeps=2)
    plain = ObservationMap([0] * n_obs, [64] * n_obs, [4] * n_obs, [8] * n_obs)
    synapses = rng.integers(0, 2**32, spec.n_words, np.uint32)
    return with_golden_trace(Policy(spec, plain, synapses), 2)


POLICIES = (policy(1, 5, 3, 32), policy(2, 7, 2, 64))


def build(fuzzer: str, folder: Path, core: Path = CORE, objects: Path | None = None) -> Path:
    """Compiles a fuzzer with the core of that folder.

    objects: where compiled files of the core are kept, and found again if they would be the same.
    """
    images = ",\n".join(
        "{{" + ", ".join(f"0x{word:08x}u" for (word,) in struct.iter_unpack("<I", p.image)) + "}, "
        f"{len(p.image)}u}}"
        for p in POLICIES
    )
    (folder / "images.h").write_text(f"static const image images[2] = {{\n{images}}};\n")
    if not shutil.which("clang"):
        raise SystemExit(
            "Fuzzing needs clang and its libFuzzer: apt-get install clang libclang-rt-dev"
        )
    objects = objects or folder / "objects"
    objects.mkdir(exist_ok=True)
    program = folder / f"fuzz_{fuzzer}"
    places = [f"-I{place}" for place in (folder, core, ROOT / "tests/c")]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = list(pool.map(lambda path: compile_core(path, objects), sorted(core.glob("*.c"))))
    clang(*places, ROOT / f"tests/fuzz/fuzz_{fuzzer}.c", *made, "-o", program)
    return program


def compile_core(source: Path, objects: Path) -> Path:
    headers = sorted(source.parent.glob("*.h"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (source, *headers)))
    made = objects / f"{source.stem}-{digest.hexdigest()[:16]}.o"
    if not made.exists():
        clang("-c", f"-I{source.parent}", source, "-o", made)
    return made


def clang(*words) -> None:
    command = ["clang", *FLAGS, *SANITIZERS, *(str(word) for word in words)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"The fuzzers do not compile:\n{result.stderr}")


def cases(name: str) -> list[dict]:
    return json.loads((ROOT / f"docs/vectors/{name}.json").read_text())["cases"]


def counted(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def wait(ms: int) -> bytes:
    return struct.pack("<BH", WAIT, ms)


def transfer(image: bytes) -> bytes:
    """An upload, as operations of fuzz_device.c."""
    chunks = [image[at : at + 92] for at in range(0, len(image), 92)]
    begin = struct.pack("<BH", BEGIN, len(image))
    data = b"".join(bytes([DATA]) + counted(chunk) for chunk in chunks)
    return begin + data + bytes([REQUEST, UPLOAD_COMMIT - 1, 0])


def blocks(size: int, block: int, *ahead: int) -> bytes:
    """An upload in blocks that come in that order, each counted from the first missing one."""
    opened = struct.pack("<BHBB", OPEN, size, 1, block)
    return opened + b"".join(bytes([BLOCK, place, 0]) for place in ahead) + opened


def device_seeds() -> list[bytes]:
    lines = [bytes.fromhex(case["line"]) for case in cases("frames")]
    requests = [bytes([REQUEST, kind, 0]) for kind in HELLO_TO_ACT]
    steps = bytes([STEP]) + counted(bytes(range(10)))
    episode = struct.pack("<BBH", RESET, 1, 100) + 3 * steps + wait(101)
    changed = [struct.pack("<BBHB", UPLOAD, which, 48, bits) for which in (0, 1) for bits in (0, 1)]
    tick = struct.pack("<BH", CLOCK, 50)
    limit = struct.pack("<BB", LIMIT, 1) + counted(struct.pack("<hhH", -3, 5, 2))
    clocked = [
        limit + struct.pack("<BBBHHH", EPISODE, ends, verdict, 5, 60, silence) + 9 * tick
        + wait(11)
        for ends, verdict, silence in ((3, 1, 0), (3, 2, 0), (0, 0, 0), (0, 0, 10), (255, 0, 0))
    ]  # fmt: skip
    # member 1, ranks of members 0 and 1, 255 words to be moved, probabilities told and set
    learning = (
        (0, 1, 0, 0, 4),
        (1, 0, 1, 0, 8),
        (2, 0, 0, 255, 12),
        (3, 4, 8, 0, 6),
        (4, 4, 9, 9, 12),
    )
    generation = bytes([EVOLVE, 100, 2, 200]) + b"".join(bytes([LEARN, *each]) for each in learning)
    # member 1, and an episode that it begins, with a silence of 100 ms
    member = bytes([REQUEST, MEMBER - 1]) + counted(struct.pack("<III", 1, 1, 100))
    # turns, the plant's end and verdict, reward; 2 generations of 4 steps; silence to budgets
    practices = [
        bytes([PRACTICE, turns, ends, verdict, 1, 1, 3, *silence_to_time, 0])
        for turns, ends, verdict, *silence_to_time in (
            (255, 0, 0, 0, 0, 0, 0, 0),
            (255, 2, 2, 100, 9, 0, 0, 0),
            (20, 255, 0, 0, 200, 3, 9, 0),
            (90, 3, 1, 0, 0, 0, 0, 30),
        )
    ]
    record = bytes([LEARN, 7, 0, 0, 3, 12])
    left = bytes([PRACTICE, 5, 0, 0, 1, 0, 7, 100, 0, 0, 0, 0, 0]) + wait(200)
    alone = b"".join(practice + 9 * tick + record for practice in practices)
    act = struct.pack("<BHB4h", ACT, 50, 8, -300, -1, 2, 300)
    hosted = [
        limit + struct.pack("<BBBHHH", HOSTED, ends, verdict, 5, period, 100) + 6 * act
        + wait(101)
        for ends, verdict, period in ((3, 1, 0), (3, 2, 60), (0, 0, 400), (255, 0, 0))
    ]  # fmt: skip
    images = [bytes.fromhex(case["image"]) for case in cases("images")]
    programs = [
        *(bytes([BYTES]) + counted(line[:255]) for line in lines),
        *requests,
        *clocked,
        *hosted,
        blocks(2048, 64, 0, 1, 0, 3, 31, 0, 0),
        blocks(200, 95, 2, 1, 0) + blocks(200, 20, 0, 0),
        *(upload + episode for upload in changed),
        changed[0] + generation + episode + generation,
        changed[0] + bytes([EVOLVE, 100, 2, 200]) + 2 * (member + 3 * steps + wait(99)) + wait(2),
        changed[0] + bytes([EVOLVE, 100, 2, 200]) + left + alone,
        changed[0] + bytes([EVOLVE, 100, 20, 200]) + left,  # no room for records
        changed[0] + bytes([EVOLVE, 100, 3, 200]) + practices[0] + episode + alone + generation,
        changed[0] + bytes([TRACKS, 3, 2, 3, TRACKS, 0, 2, 2, TRACKS, 0, 3, 0, TRACKS, 255, 0, 0]),
        *(transfer(image) + episode for image in (p.image for p in POLICIES)),
        *(transfer(image) + episode for image in images if len(image) < LONGEST["device"] // 2),
    ]
    return [bytes([number % 4]) + program for number, program in enumerate(programs)]


def policy_seeds() -> list[bytes]:
    images = [p.image for p in POLICIES] + [
        bytes.fromhex(case["image"]) for case in cases("images")
    ]
    return [bytes([repairs]) + image for image in images for repairs in (0, 7)]


def write_seeds(fuzzer: str, folder: Path) -> Path:
    corpus = folder / f"{fuzzer}-corpus"
    corpus.mkdir(exist_ok=True)
    seeds = {"device": device_seeds, "policy": policy_seeds}[fuzzer]()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    return corpus


def fuzz(
    fuzzer: str, program: Path, folder: Path, seconds: int = 0, inputs: int = -1, seed: int = 1
) -> Result:
    """Runs a fuzzer for that long (0: however long), or for that many inputs (-1: however many).
    Its corpus and what it finds lie in `folder`."""
    corpus = write_seeds(fuzzer, folder)
    options = {
        "max_total_time": seconds,
        "runs": inputs,
        "seed": seed,
        "max_len": LONGEST[fuzzer],
        "timeout": INPUT_DEADLINE,
        "artifact_prefix": f"{folder}/{fuzzer}-",
        "print_final_stats": 1,
    }
    words = [str(program), *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    process = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds + START_AND_END if seconds else None,
    )
    text = process.stdout.decode("utf-8", "replace")
    tried = re.search(r"stat::number_of_executed_units: *(\d+)", text)
    found = re.search(r"Test unit written to (\S+)", text)
    if process.returncode and not found:
        raise SystemExit(f"The fuzzer {fuzzer} ended by itself:\n{text[-2000:]}")
    return Result(int(tried[1]) if tried else 0, Path(found[1]) if found else None, text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the firmware's core.")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--seconds", type=int, default=60, help="for each fuzzer (60)")
    end.add_argument("--inputs", type=int, help="for each fuzzer, however long they take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "build/fuzz")
    parser.add_argument("--only", choices=FUZZERS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    findings = 0
    for fuzzer in [options.only] if options.only else FUZZERS:
        program = build(fuzzer, options.out)
        bound = {"inputs": options.inputs} if options.inputs else {"seconds": options.seconds}
        begin = time.monotonic()
        result = fuzz(fuzzer, program, options.out, seed=options.seed, **bound)
        taken = time.monotonic() - begin
        print(f"{fuzzer}: {result.executions:,} inputs in {taken:.0f} s", flush=True)
        if result.finding:
            findings += 1
            print(f"{result.words[-4000:]}\n{fuzzer}: a finding in {result.finding}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
