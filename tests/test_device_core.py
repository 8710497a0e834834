"""The device side of the link: the C core in process, the virtual device, an emulated board.

The host here is written from docs/LINK.md alone, so that the device is not held to `ecedge.link`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
from cobs import cobs

from ecedge.boards import find_board
from ecedge.boards.build import build as build_firmware
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.reference import control_step, reset, state_bytes, with_golden_trace
from ecedge.reference.network import golden_input

serial = pytest.importorskip("serial")

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
C_TESTED = ("frame", "limit", "session", "tracks", "device", "episode", "hosted", "upload")
C_TESTED += "evolve", "learn", "practice", "snapshot"
C_TESTS = [ROOT / f"tests/c/test_{name}.c" for name in C_TESTED]
C_TEST_NAMES = [
    name
    for path in C_TESTS
    for name in re.findall(r"^static void (test_\w+)\(void\)", path.read_text(), re.MULTILINE)
]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
STRICT += ["-fno-strict-aliasing"]  # as ecedge.export.project says
BARE = ["-Os", "-ffreestanding"]
DEADLINE = 10.0  # seconds, for whatever should take none

HELLO, RESET, STEP, STATUS, PEEK = 1, 2, 3, 7, 9
MAGIC = struct.pack("<IH", 0x45474345, 1)


def host_compiler() -> list[str]:
    for name in ("gcc", "clang", "cc"):
        if path := shutil.which(name):
            return [path]
    pytest.skip("no C compiler: install gcc or clang")


def arm_compiler() -> list[str]:
    if path := shutil.which("arm-none-eabi-gcc"):
        return [path, "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"]
    pytest.skip("no cross compiler: install gcc-arm-none-eabi")


def run(command, timeout=120.0) -> str:
    """Runs to the end; what it printed, which is the reason where it fails."""
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=timeout
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def random_policy(seed: int, n_obs: int, n_act: int, n_neurons: int) -> Policy:
    rng = np.random.default_rng(seed)
    spec = NetworkSpec(n_obs, n_act, n_neurons, substeps=4)
    ranges = {"offset": (-50, 50), "multiplier": (1, 40), "shift": (0, 6), "exponent": (0, 8)}
    channels = ObservationMap(**{k: rng.integers(*r, n_obs) for k, r in ranges.items()})
    return with_golden_trace(Policy(spec, channels, rng.integers(0, 2**32, spec.n_words)))


BUILTIN = random_policy(1, 5, 3, 32)
OTHER = random_policy(2, 7, 2, 64)


# -- the core, in process --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def c_test(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    names = "".join(f'{{"{name}", {name}}},\n' for name in C_TEST_NAMES)
    (folder / "test_names.inc").write_text(names)
    images = [folder / "builtin", folder / "other"]
    for path, policy in zip(images, (BUILTIN, OTHER), strict=True):
        path.write_bytes(policy.image)
    program = folder / "run_device"
    sanitize = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = [f"-I{folder}", f"-I{FIRMWARE / 'core'}"]
    sources = [ROOT / "tests/c/run_device.c", *sorted((FIRMWARE / "core").glob("*.c"))]
    run([*host_compiler(), *STRICT, *sanitize, *include, *sources, "-o", program])
    return program, images


@pytest.mark.parametrize("name", C_TEST_NAMES)
def test_core(c_test, name):
    program, images = c_test
    run([program, name, *images])


# -- building firmware -----------------------------------------------------------------------------


def write_project(folder: Path, board: str, policy: Policy | None, changes=()) -> None:
    """The three files that a generated project has of its own; `changes`: other defines."""
    facts = tomllib.loads((FIRMWARE / "boards" / board / "board.toml").read_text())
    limits, snapshots = facts["limits"], facts.get("snapshots", {})
    image = policy.image if policy else bytes(4)
    policy_id = struct.unpack_from("<I", image, 36)[0] if policy else 0
    defines = {
        "EC_BOARD_NAME": f'"{board}"',
        "EC_FIRMWARE_VERSION": "0x010203u",
        "EC_POLICY_ID": f"0x{policy_id:08x}u",
        "EC_MAX_PAYLOAD": limits["max_payload"],
        "EC_MAX_OBS": limits["obs"],
        "EC_MAX_ACT": limits["act"],
        "EC_MAX_NEURONS": limits["neurons"],
        "EC_POLICY_RAM": limits["policy_ram"],
        "EC_BAUD": facts["baud"],
        "EC_CLOCK_HZ": facts["clock_hz"],
        "EC_FLASH_ORIGIN": snapshots.get("origin", 0),
        "EC_FLASH_PAGE": snapshots.get("page", 0),
        "EC_FLASH_PAGES": snapshots.get("pages", 0),
    } | dict(changes)
    words = ", ".join(f"0x{word:08x}u" for (word,) in struct.iter_unpack("<I", image))
    (folder / "ec_config.h").write_text(
        "".join(f"#define {name} {value}\n" for name, value in defines.items())
    )
    (folder / "policy.h").write_text(
        "#include <stdint.h>\n"
        f"#define EC_POLICY_IMAGE_SIZE {len(policy.image) if policy else 0}u\n"
        "#define EC_POLICY_LOAD NULL\n"
        "extern const uint32_t ec_policy_image[];\n"
    )
    (folder / "policy.c").write_text(
        f'#include "policy.h"\nconst uint32_t ec_policy_image[] = {{{words}}};\n'
    )


def build(
    compiler, folder: Path, port: Path, board: str, policy: Policy | None, flags, changes=()
) -> Path:
    write_project(folder, board, policy, changes)
    places = [FIRMWARE / "core", FIRMWARE / "app", port]
    includes = [f"-I{place}" for place in (folder, *places, FIRMWARE / "boards" / board)]
    sources = [source for place in places for source in sorted(place.glob("*.c"))]
    program = folder / "firmware"
    run([*compiler, *STRICT, *includes, folder / "policy.c", *sources, *flags, "-o", program])
    return program


def build_virtual(folder: Path, policy: Policy | None) -> Path:
    return build(host_compiler(), folder, ROOT / "host/vdev", "virtual", policy, ["-O2"])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_virtual_device_compiles_without_a_warning(tmp_path, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    build([compiler], tmp_path, ROOT / "host/vdev", "virtual", None, ["-O2"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EC_MAX_PAYLOAD", 95),
        ("EC_MAX_PAYLOAD", 65536),
        ("EC_MAX_PAYLOAD", 128),  # the virtual board's 1024 observations take 2048
        ("EC_MAX_OBS", 0),
        ("EC_MAX_OBS", 1025),
        ("EC_MAX_ACT", 0),
        ("EC_MAX_ACT", 65),
        ("EC_MAX_NEURONS", 31),
        ("EC_MAX_NEURONS", 1056),
    ],
)
def test_an_impossible_configuration_does_not_compile(tmp_path, name, value):
    write_project(tmp_path, "virtual", None, {name: f"{value}u"})
    includes = [f"-I{place}" for place in (tmp_path, FIRMWARE / "core", FIRMWARE / "app")]
    command = [*host_compiler(), "-fsyntax-only", *includes, FIRMWARE / "app/main.c"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert f'#error "{name} is not' in result.stderr or f", or {name} not" in result.stderr


def test_a_plant_is_safe_though_the_line_blocks(tmp_path):
    write_project(tmp_path, "virtual", BUILTIN, {"EC_FLASH_PAGES": 0})
    includes = [f"-I{place}" for place in (tmp_path, FIRMWARE / "core", FIRMWARE / "app")]
    sources = [ROOT / "tests/c/test_main.c", FIRMWARE / "app/main.c", tmp_path / "policy.c"]
    sources += sorted((FIRMWARE / "core").glob("*.c"))
    program = tmp_path / "test_main"
    run([*host_compiler(), *STRICT, *includes, *sources, "-o", program])
    run([program])


def test_template_port_compiles(tmp_path):
    """With a board's facts but no start-up code: to objects, as a porter begins."""
    board = "mps2-an386"
    write_project(tmp_path, board, None)
    for source in sorted((FIRMWARE / "ports/template").glob("*.c")):
        folders = [
            FIRMWARE / "core",
            FIRMWARE / "app",
            FIRMWARE / "bare",
            FIRMWARE / "boards" / board,
        ]
        flags = [*STRICT, *BARE, *(f"-I{folder}" for folder in (tmp_path, *folders))]
        run([*arm_compiler(), *flags, "-c", source, "-o", tmp_path / f"{source.stem}.o"])


LINES = {  # clock, clock / divisor, least, most; speeds and the divisors that they get
    "ATmega": ((16e6, 2e6, 1, 4096), {115200: 17, 250000: 8, 230400: 0, 500000: 0, 57600: 35}),
    "CMSDK": ((25e6, 25e6, 16, 0xFFFFF), {115200: 217, 500000: 50, 1000000: 0}),
    "PL011": ((125e6, 500e6, 64, 0x3FFFFF), {115200: 4340, 2000000: 250, 3000000: 0, 100: 0}),
    "STM32F405": ((168e6, 84e6, 16, 0xFFFF), {115200: 729, 3000000: 28, 3500000: 0, 1200: 0}),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_has_the_speeds_that_its_divider_and_its_clock_allow(tmp_path, name):
    (clock, line, least, most), speeds = LINES[name]
    changes = {"EC_CLOCK_HZ": f"{clock:.0f}u", "EC_TICK_HZ": "1000000u"}
    write_project(tmp_path, "mps2-an386", None, changes)
    words = {"LINE_HZ": f"{line:.0f}u", "LEAST": least, "MOST": most}
    defines = [f"-D{key}={value}" for key, value in words.items()]
    folders = [tmp_path, *(FIRMWARE / folder for folder in ("core", "app", "bare"))]
    sources = [ROOT / "tests/c/test_bare.c", FIRMWARE / "bare/bare.c"]
    includes = [f"-I{folder}" for folder in folders]
    run([*host_compiler(), *STRICT, *defines, *includes, *sources, "-o", tmp_path / "bare"])
    told = run([tmp_path / "bare", *speeds, 0, 0xFFFFFFFF]).split()
    assert [int(word) for word in told] == [*speeds.values(), 0, 0]


@pytest.mark.parametrize("source", sorted((FIRMWARE / "core").glob("*.c")), ids=lambda p: p.stem)
@pytest.mark.parametrize(
    "target",
    [
        ["thumbv6m-none-eabi", "-mcpu=cortex-m0", "-c"],
        ["riscv32-unknown-none-elf", "-march=rv32i", "-c"],
        # int has 16 bits; LLVM runs out of AVR's registers in the code that follows
        ["avr", "-Wno-avr-rtlib-linking-quirks", "-fsyntax-only"],
    ],
    ids=lambda words: words[0],
)
def test_core_compiles_for_small_chips_without_a_warning(tmp_path, target, source):
    if not shutil.which("clang"):
        pytest.skip("no compiler for three kinds of chip: install clang")
    triple, *flags = target
    output = [] if "-fsyntax-only" in flags else ["-o", tmp_path / "core.o"]
    flags = [*STRICT, "-Os", "-ffreestanding", *flags]
    run(["clang", f"--target={triple}", *flags, source, *output])


# -- a host ----------------------------------------------------------------------------------------


def frame(kind: int, session: int, sequence: int, payload: bytes) -> bytes:
    body = struct.pack("<BBHH", kind, 0, session, sequence) + payload
    return cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


class Host:
    """Asks a device over any URL of pyserial; one try a request, each with a deadline."""

    def __init__(self, url: str, session: int = 4711):
        self.port = serial.serial_for_url(url, timeout=0.05)
        self.session = session
        self.sequence = 0
        self.pending = b""

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.port.write(frame(kind, self.session, self.sequence, payload))

    def receive(self, kind: int) -> bytes:
        """The payload of the reply to the last request."""
        end = time.monotonic() + DEADLINE
        while b"\0" not in self.pending:
            assert time.monotonic() < end, "no reply"
            self.pending += self.port.read(1)
            self.pending += self.port.read(self.port.in_waiting)
        line, self.pending = self.pending.split(b"\0", 1)
        packet = cobs.decode(line)
        assert zlib.crc32(packet[:-4]) == struct.unpack("<I", packet[-4:])[0]
        header = struct.unpack_from("<BBHH", packet)
        assert header == (kind | 0x80, 0, self.session, self.sequence)
        return packet[6:-4]

    def ask(self, kind: int, payload: bytes = b"") -> bytes:
        self.send(kind, payload)
        return self.receive(kind)

    def hello(self) -> bytes:
        return self.ask(HELLO, MAGIC)

    def close(self) -> None:
        self.port.close()


@contextlib.contextmanager
def host(url: str, session: int = 4711):
    """A host in session; the port may take a moment to open, its first reply too."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            client = Host(url, session)
            break
        except serial.SerialException:
            assert time.monotonic() < end, f"{url} does not open"
            time.sleep(0.05)
    try:
        client.hello()
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def running(command):
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


@contextlib.contextmanager
def virtual_device(program, *options):
    """The running process and its address."""
    with running([program, *options]) as process:
        match = re.fullmatch(r"ecedge virtual device on (\S+)\n", process.stdout.readline())
        assert match
        yield process, match.group(1)


def check_an_episode(client: Host, policy: Policy, steps: int) -> None:
    """Every output and digest, and the whole state at the end, against the reference."""
    spec = policy.spec
    assert client.ask(RESET, struct.pack("<IL", 1, 0)) == bytes([0, 1])
    state, digest = reset(spec), 0
    for t in range(steps):
        raw = golden_input(policy, t + 1000)
        state = control_step(policy, state, raw)
        digest = zlib.crc32(state_bytes(state), digest)
        payload = client.ask(STEP, raw.astype("<i2").tobytes())
        status, mode, _, _, device_digest = struct.unpack_from("<BBHII", payload)
        assert (status, mode, device_digest) == (0, 1, digest)
        assert np.array_equal(np.frombuffer(payload, "<i2", offset=12), state.output)
    expected = state_bytes(state)
    assert client.ask(PEEK, struct.pack("<HH", 0, len(expected))) == bytes(4) + expected


# -- the virtual device ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vdev(tmp_path_factory):
    return build_virtual(tmp_path_factory.mktemp("vdev"), BUILTIN)


@pytest.mark.parametrize("line", [("--tcp", "0"), ("--pty",)], ids=["tcp", "pty"])
def test_virtual_device_has_the_reference_s_bits(vdev, line):
    with virtual_device(vdev, *line) as (_, url), host(url) as client:
        check_an_episode(client, BUILTIN, 50)


def test_virtual_device_says_who_it_is(vdev):
    with virtual_device(vdev, "--tcp", 0, "--boot-count", 12) as (_, url), host(url) as client:
        reply = client.hello()
    assert reply[48:64].rstrip(b"\0") == b"virtual"
    assert struct.unpack_from("<HHHIIB", reply, 2) == (1, 1, 4096, 0x010203, 12, 1)
    assert reply[24:32].hex() == BUILTIN.hash
    assert struct.unpack_from("<IIHHH", reply, 32) == (10**9, 524288, 1024, 64, 1024)


def dialogue() -> list[tuple[str, bytes]]:
    """LINK.md section 6: the frames in order, the host's marked ">", the device's "<"."""
    text = (ROOT / "docs/LINK.md").read_text().partition("\n## 6. ")[2].partition("\n## 7. ")[0]
    frames = re.findall(r"^    ([<>])((?: [0-9a-f]{2})+(?:\n     (?: [0-9a-f]{2})+)*)", text, re.M)
    assert {mark for mark, _ in frames} == {">", "<"}
    return [(mark, bytes.fromhex(digits)) for mark, digits in frames]


def without_ticks(line: bytes) -> bytes:
    """The packet of a good frame; a step's time and, for it, the CRC left out."""
    packet = cobs.decode(line[:-1])
    assert line[-1] == 0 and zlib.crc32(packet[:-4]) == struct.unpack("<I", packet[-4:])[0]
    return packet[:10] + packet[14:-4] if packet[0] == STEP | 0x80 else packet


def test_virtual_device_holds_the_dialogue_of_the_link_s_page(tmp_path):
    networks = json.loads((ROOT / "docs/vectors/networks.json").read_text())["cases"]
    small = next(case for case in networks if case["name"] == "small")
    program = build_virtual(tmp_path, Policy.from_image(bytes.fromhex(small["image"])))
    with virtual_device(program, "--tcp", 0) as (_, url):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"\0")
            for mark, expected in dialogue():
                if mark == ">":
                    client.sendall(expected)
                    continue
                reply = b""
                while not reply.endswith(b"\0"):
                    reply += client.recv(4096)
                assert without_ticks(reply) == without_ticks(expected)
    step = next(line for _, line in dialogue() if line[1] == STEP | 0x80)
    assert struct.unpack("<2h", without_ticks(step)[-4:]) == tuple(small["output"][0])


def test_virtual_device_outlives_its_client(vdev):
    with virtual_device(vdev, "--tcp", 0) as (_, url):
        with host(url) as client:
            client.ask(RESET, struct.pack("<IL", 1, 60000))
            client.send(STEP, bytes(4))  # and leaves without hearing the refusal
        with host(url, session=1147) as client:
            assert client.ask(STATUS)[1] == 1  # in the middle of the same episode


def test_virtual_device_turns_a_second_client_away(vdev):
    """What the second one sent is not carried out, now or later."""
    with virtual_device(vdev, "--tcp", 0) as (_, url):
        with host(url) as client:
            address = ("127.0.0.1", int(url.rpartition(":")[2]))
            with socket.create_connection(address, timeout=DEADLINE) as second:
                with contextlib.suppress(ConnectionError):
                    second.sendall(frame(HELLO, 99, 1, MAGIC) + frame(RESET, 99, 2, bytes(8)))
                    assert second.recv(1) == b""
                assert client.ask(STATUS)[:2] == bytes([0, 0])
        with host(url, session=100) as client:
            assert client.ask(STATUS)[:2] == bytes([0, 0])


def test_virtual_device_takes_whoever_comes_when_the_first_has_left(vdev):
    with virtual_device(vdev, "--tcp", 0) as (_, url):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        for session in range(1, 100):
            with socket.create_connection(address, timeout=DEADLINE) as client:
                client.sendall(frame(HELLO, session, 1, MAGIC))
                assert client.recv(1)
                client.sendall(frame(STATUS, session, 2, b""))  # and leaves before the reply


def test_line_gives_up_on_a_reader_that_takes_little(tmp_path):
    program = tmp_path / "test_line"
    sources = [ROOT / "tests/c/test_line.c", ROOT / "host/vdev/line.c"]
    run([*host_compiler(), *STRICT, f"-I{ROOT / 'host/vdev'}", *sources, "-o", program])
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        name = process.stdout.readline().split()[-1]
        reader = os.open(name, os.O_RDONLY | os.O_NOCTTY)
        start = time.monotonic()
        process.stdin.write(b"\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0.05)[0]:
            assert time.monotonic() - start < DEADLINE
            os.read(reader, 1024)  # so that there is room again and again
        assert process.stdout.readline() == b"written\n"
        assert 0.9 < time.monotonic() - start < DEADLINE  # all that it writes would take 50 s
        os.close(reader)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def test_an_odd_size_of_memory_for_policies_is_all_there(tmp_path):
    size = 4099
    flags = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = build(
        host_compiler(), tmp_path, ROOT / "host/vdev", "virtual", None, flags,
        {"EC_POLICY_RAM": f"{size}u"},
    )  # fmt: skip
    with virtual_device(program, "--tcp", 0) as (_, url), host(url) as client:
        assert client.ask(4, struct.pack("<I", size))[0] == 0
        for offset in range(0, size, 1000):
            data = bytes(min(1000, size - offset))
            assert client.ask(5, struct.pack("<I", offset) + data)[0] == 0
        assert client.ask(6)[0] == 6


def test_virtual_device_is_safe_when_its_client_is_silent(vdev):
    with virtual_device(vdev, "--tcp", 0) as (_, url), host(url) as client:
        client.ask(RESET, struct.pack("<IL", 1, 50))
        time.sleep(0.2)
        assert client.ask(STATUS)[1] == 2


def test_virtual_device_ends_with_its_client_once(vdev):
    with virtual_device(vdev, "--tcp", 0, "--once") as (process, url):
        with host(url):
            pass
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_virtual_device_ends_on_a_signal(vdev, number):
    with virtual_device(vdev, "--pty") as (process, _):
        process.send_signal(number)
        assert process.wait(DEADLINE) == -number


def test_virtual_device_ends_with_its_parent(vdev):
    parent = (
        "import subprocess, sys, time\n"
        f"device = subprocess.Popen([{str(vdev)!r}, '--pty'])\n"
        "print(device.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with running([sys.executable, "-c", parent]) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        pid = next(int(line) for line in lines if line.strip().isdigit())
        process.kill()
        process.wait(DEADLINE)
        end = time.monotonic() + DEADLINE
        while is_running(pid):
            assert time.monotonic() < end
            time.sleep(0.01)


def is_running(pid: int) -> bool:
    """A process that ended but was not waited for by its new parent runs no more."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_slow_line_takes_ten_bits_a_byte_both_ways(vdev):
    baud, requests = 57600, 20
    took = []
    with virtual_device(vdev, "--tcp", 0, "--baud", baud) as (_, url), host(url) as client:
        for _ in range(requests):
            start = time.monotonic()
            reply = client.hello()
            took.append(time.monotonic() - start)
    size = 2 * (10 + 2) + len(MAGIC) + len(reply)  # header, CRC, COBS code and zero, twice
    line_time = size * 10 / baud
    assert requests * line_time <= sum(took)
    assert statistics.median(took) < 2 * line_time + 0.025


@pytest.mark.parametrize(
    "options",
    [[], ["--tcp"], ["--tcp", "x"], ["--tcp", "70000"], ["--tcp", "0", "--pty"], ["--baud", "1"]],
    ids=" ".join,
)
def test_virtual_device_refuses_wrong_options(vdev, options):
    result = subprocess.run([vdev, *options], capture_output=True, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: ")


def test_virtual_device_says_when_its_port_is_taken(vdev):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        result = subprocess.run(
            [vdev, "--tcp", number], capture_output=True, text=True, timeout=DEADLINE
        )
    assert (result.returncode, result.stdout) == (1, "")
    assert "in use" in result.stderr


def test_virtual_device_without_a_policy_waits_for_one(tmp_path):
    program = build_virtual(tmp_path, None)
    with virtual_device(program, "--tcp", 0) as (_, url), host(url) as client:
        assert client.hello()[17] == 0
        assert client.ask(RESET, bytes(8))[:5] == struct.pack("<BI", 6, 0)
        upload(client, OTHER)
        check_an_episode(client, OTHER, 10)


def upload(client: Host, policy: Policy) -> None:
    image, chunk = policy.image, 400
    assert client.ask(4, struct.pack("<I", len(image)))[0] == 0
    for offset in range(0, len(image), chunk):
        reply = client.ask(5, struct.pack("<I", offset) + image[offset : offset + chunk])
        assert reply[0] == 0
    assert client.ask(6)[4:].hex() == policy.hash


# -- an emulated board -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mps2_firmware(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mps2") / "firmware"
    return build_firmware(BUILTIN, find_board("mps2-an386"), folder).elf


@contextlib.contextmanager
def emulated(elf: Path):
    """mps2-an386 in QEMU: its address, and a function that sends a line to QEMU's monitor."""
    facts = tomllib.loads((FIRMWARE / "boards/mps2-an386/board.toml").read_text())
    if not shutil.which(facts["emulator"]["args"][0]):
        pytest.skip(f"no emulator: install {facts['emulator']['package']}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    line = f"tcp:127.0.0.1:{number},server=on,wait=on,nodelay=on"
    command = [word.format(elf=elf, serial=line) for word in facts["emulator"]["args"]]
    command[command.index("-monitor") + 1] = "stdio"
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def monitor(text: str) -> None:
        process.stdin.write(text.encode() + b"\n")
        process.stdin.flush()

    try:
        yield f"socket://127.0.0.1:{number}", monitor
    finally:
        process.kill()
        process.wait(DEADLINE)
        process.stdin.close()


def test_emulated_board_has_the_reference_s_bits(mps2_firmware):
    with emulated(mps2_firmware) as (url, _), host(url) as client:
        reply = client.hello()
        assert reply[48:64].rstrip(b"\0") == b"mps2-an386"
        assert reply[:2] == bytes([0, 0])
        assert struct.unpack_from("<I", reply, 32) == (25_000_000,)
        check_an_episode(client, BUILTIN, 20)
        upload(client, OTHER)
        check_an_episode(client, OTHER, 20)


def test_emulated_board_counts_its_restarts(mps2_firmware):
    with emulated(mps2_firmware) as (url, monitor), host(url) as client:
        assert struct.unpack_from("<IB", client.hello(), 12) == (1, 1)
        monitor("system_reset")
        time.sleep(0.5)
        client.send(STATUS)
        assert client.receive(STATUS)[:3] == bytes([3, 0, 0])  # a restarted device knows no session
        assert struct.unpack_from("<I", client.hello(), 12) == (2,)
