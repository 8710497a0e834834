"""Board facts, the generated project, the build and its figures, emulators. Needs a C compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_device_core import is_running

from ecedge import reference
from ecedge.boards import Capacity, board_names, find_board, sources_root, toolchain
from ecedge.boards.build import build
from ecedge.boards.emulator import Running, launch
from ecedge.boards.objects import Objects
from ecedge.boards.registry import Power, Region
from ecedge.boards.stack import measure_stack
from ecedge.boards.toolchain import find_toolchain
from ecedge.devices import open_device, parse_device
from ecedge.errors import (
    BoardError,
    BuildError,
    NoDevice,
    StorageError,
    ToolError,
    UsageError,
    WorldError,
)
from ecedge.export.project import MARKER, firmware_version, write_project
from ecedge.model import NetworkSpec, ObservationMap, Policy

needs_arm = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="apt install gcc-arm-none-eabi"
)
needs_riscv = pytest.mark.skipif(
    not shutil.which("riscv64-unknown-elf-gcc"), reason="apt install gcc-riscv64-unknown-elf"
)
needs_avr = pytest.mark.skipif(not shutil.which("avr-gcc"), reason="apt install gcc-avr")
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="apt install make")
VIRTUAL = find_board("virtual")
M4 = find_board("mps2-an386")
RISCV = find_board("riscv32-virt")
each_kind = pytest.mark.parametrize(
    "board",
    [VIRTUAL, pytest.param(M4, marks=needs_arm), pytest.param(RISCV, marks=needs_riscv)],
    ids=lambda board: board.name,
)


def random_policy(seed=1, n_obs=3, n_act=2, n_neurons=32) -> Policy:
    spec = NetworkSpec(n_obs, n_act, n_neurons, substeps=2)
    plain = ObservationMap([0] * n_obs, [64] * n_obs, [4] * n_obs, [8] * n_obs)
    bits = np.random.default_rng(seed).integers(0, 2**32, spec.n_words, np.uint32)
    return reference.with_golden_trace(Policy(spec, plain, bits), 2)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- facts ---------------------------------------------------------------------------------------


def test_every_board_reads_well():
    assert len(board_names()) > 1
    for name in board_names():
        assert find_board(name).name == name


def test_unknown_board_lists_the_known_ones():
    with pytest.raises(BoardError, match=r'no board "teapot"\..*mps2-an386, .*virtual'):
        find_board("teapot")


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the sources, to break."""
    for part in ("firmware", "host/vdev"):
        shutil.copytree(sources_root() / part, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("core =", "colour = 'red'\ncore =", "unknown key colour"),
        ("clock_hz", "# clock_hz", "lacks the key clock_hz"),
        ("stack = 8192", "stack = 'deep'", "stack must be int, not 'deep'"),
        ("stack = 8192", "stack = true", "stack must be int"),
        ('"mps2-an386"', '"mps2"', 'names the board "mps2"'),
        ('port = "cmsdk"', 'port = "nowhere"', 'port "nowhere", which does not exist'),
        ('"cortex-m4f"', '"z80"', '"z80", of no known architecture'),
        ("neurons = 512", "neurons = 5000", "5000 neurons is impossible"),
        ("max_payload = 512", "max_payload = 100", "100 bytes in a request is impossible"),
        ("policy_ram = 65_536", "policy_ram = 3", "multiple of 4"),
        ('kind = "qemu"', 'kind = "magic"', '"magic" is none of'),
        ('"{serial}"', '"serial"', "lack {serial}"),
        ("flash = {", "# flash = {", r"must tell \[flash\]"),
        ("core =", "core", "cannot be read"),
    ],
)
def test_wrong_facts_are_told(tree, old, new, complaint):
    change_facts(tree, "mps2-an386", old, new)
    with pytest.raises(BoardError, match=complaint):
        find_board("mps2-an386", tree)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("active_ma = 40.0", "active_ma = 40_000.0", "active_ma = 40000 is impossible"),
        ("active_ma = 40.0", "active_ma = nan", "active_ma = nan is impossible"),
        ("volts = 3.3", "volts = 0.0", "volts = 0 is impossible; allowed is more than 0, to 6"),
        ("volts = 3.3", "volts = '3.3'", "power: volts must be float"),
        ("volts = 3.3", "", "power lacks the key volts"),
        ("clock_hz = 168_000_000\nsource", "clock_hz = -1\nsource", "clock_hz = -1 is impossible"),
        ('source = "', 'source = "" # "', "without a source is a guess"),
    ],
)
def test_wrong_power_is_told(tree, old, new, complaint):
    change_facts(tree, "netduinoplus2", old, new)
    with pytest.raises(BoardError, match=complaint):
        find_board("netduinoplus2", tree)


def change_facts(tree: Path, board: str, old: str, new: str):
    path = tree / "firmware/boards" / board / "board.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_energy_is_voltage_times_current_times_time():
    power = Power(active_ma=5.0, volts=4.0, clock_hz=8_000_000, source="a data sheet")
    assert power.joules(8_000_000) == pytest.approx(0.020)  # a second of 20 mW
    assert power.joules(400) == pytest.approx(1e-6)


def test_capacity_is_raised_to_what_a_policy_needs():
    spec = random_policy(n_obs=129, n_act=5, n_neurons=64).spec
    raised = Capacity(96, 4, 8, 32, 0).holding(spec)
    assert raised == Capacity(258, 129, 8, 64, spec.image_size)


# -- the generated project -----------------------------------------------------------------------


def test_same_inputs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_project(random_policy(), M4, tmp_path / name, command="ecedge export x.onnx")
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first == second
    assert {"policy.c", "policy.h", "ec_config.h", "Makefile", "README.md"} <= first.keys()
    folders = {"core", "app", "bare", "cpu", "port", "board"}
    assert {name.split("/")[0] for name in first if "/" in name} == folders
    made = b"".join(data for name, data in first.items() if "/" not in name)
    assert str(tmp_path).encode() not in made and str(sources_root()).encode() not in made


def test_front_matter_tells_version_command_and_hash(tmp_path):
    policy = random_policy()
    write_project(policy, M4, tmp_path, command='run */ "me"\n\\')
    for name in ("policy.c", "policy.h", "ec_config.h", "Makefile", "README.md"):
        head = (tmp_path / name).read_text()[:400]
        assert "Made by ecedge" in head
        assert "Command: run * / 'me' /" in head
        assert f"Policy: {policy.hash}" in head


def test_policy_c_holds_the_image(tmp_path):
    policy = random_policy()
    write_project(policy, M4, tmp_path)
    words = re.findall(r"0x([0-9a-f]{8}),", (tmp_path / "policy.c").read_text())
    image = b"".join(int(word, 16).to_bytes(4, "little") for word in words)
    assert image == policy.image
    first = int.from_bytes(bytes.fromhex(policy.hash)[:4], "little")
    assert f"EC_POLICY_ID        0x{first:08x}u" in (tmp_path / "ec_config.h").read_text()


def test_unchanged_files_are_left_alone_and_stale_ones_removed(tmp_path):
    write_project(None, VIRTUAL, tmp_path)
    marker = tmp_path / MARKER
    (tmp_path / "core/old.c").write_text("int x;")
    marker.write_text(marker.read_text() + "core/old.c\n../outside\n/etc/hostname\n")
    (tmp_path / "core/mine.txt").write_text("kept")
    (tmp_path.parent / "outside").write_text("kept")
    before = (tmp_path / "core/ec_net.c").stat().st_mtime_ns
    write_project(random_policy(), VIRTUAL, tmp_path)
    assert not (tmp_path / "core/old.c").exists()
    assert (tmp_path / "core/mine.txt").exists() and (tmp_path.parent / "outside").exists()
    assert (tmp_path / "core/ec_net.c").stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_somebody_else_made_is_refused(tmp_path, kind):
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
        (target / "chapter1.tex").write_text("...")
    else:
        target.write_text("...")
    with pytest.raises(UsageError, match="was not made by ecedge"):
        write_project(None, VIRTUAL, target)
    assert not (tmp_path / "thesis/core").exists()


def test_link_out_of_the_folder_is_refused(tmp_path):
    outside, project = tmp_path / "outside", tmp_path / "project"
    outside.mkdir()
    write_project(None, VIRTUAL, project)
    shutil.rmtree(project / "core")
    (project / "core").symlink_to(outside)
    with pytest.raises(UsageError, match="leads out"):
        write_project(None, VIRTUAL, project)
    assert not any(outside.iterdir())


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, UsageError)):
        write_project(None, VIRTUAL, tmp_path / "file" / "project")


@pytest.mark.parametrize(
    ("version", "number"),
    [("0.1.0", 0x000100), ("1.2.3.dev4+local", 0x010203), ("2.0rc1", 0x020000), ("7", 0x070000)],
)
def test_firmware_version_is_three_bytes(version, number):
    assert firmware_version(version) == number


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=120
    )


@needs_make
@each_kind
def test_project_builds_by_its_own_makefile(tmp_path, board):
    project = write_project(random_policy(), board, tmp_path)
    result = make(tmp_path, "-j2")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "build" / project.program).is_file()
    assert "up to date" in make(tmp_path).stdout
    assert make(tmp_path, "flash").returncode != 0
    assert make(tmp_path, "clean").returncode == 0
    assert not (tmp_path / "build" / project.program).exists()


@needs_make
@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("ec_config.h", r"EC_POLICY_ID +0x\w+u", "EC_POLICY_ID 0x12345678u", "different policies"),
        ("core/ec_policy.h", r"EC_IMAGE_VERSION +1", "EC_IMAGE_VERSION 2", "core/ wants another"),
    ],
)
def test_stale_policy_refuses_to_compile(tmp_path, file, old, new, complaint):
    write_project(random_policy(), VIRTUAL, tmp_path, command="ecedge export cart.onnx")
    path = tmp_path / file
    path.write_text(re.sub(old, new, path.read_text()))
    result = make(tmp_path)
    assert result.returncode != 0
    assert complaint in result.stderr
    assert "run 'ecedge export cart.onnx' again" in result.stderr


@needs_make
def test_policy_of_another_export_refuses_to_compile(tmp_path):
    for seed in (1, 2):
        write_project(random_policy(seed), VIRTUAL, tmp_path / str(seed))
    shutil.copy(tmp_path / "1/policy.c", tmp_path / "2/policy.c")
    assert "policy.c and ec_config.h are of different policies" in make(tmp_path / "2").stderr


# -- the build -----------------------------------------------------------------------------------


@each_kind
def test_build_tells_sizes_and_stack_and_is_quick_the_second_time(tmp_path, board):
    policy = random_policy()
    built = build(policy, board, tmp_path)
    assert built.elf.is_file()
    assert built.sizes.text > len(policy.image)
    assert built.sizes.bss > board.limits.policy_ram
    assert not built.stack.recursive and not built.stack.unbounded
    assert "main" in built.stack.calls and "ec_net_step" in built.stack.calls
    assert 100 < built.stack.worst < 4096
    table = str(built)
    assert f"{built.sizes.text:,}" in table and f"{built.stack.worst:,}" in table

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "build").rglob("*.o")}
    again = build(policy, board, tmp_path)
    assert (again.sizes, again.stack) == (built.sizes, built.stack)
    assert before == {path: path.stat().st_mtime_ns for path in before}

    other = build(random_policy(2), board, tmp_path)
    assert other.project.policy_hash != built.project.policy_hash


@pytest.mark.parametrize(
    ("board", "size", "saved"),
    [
        pytest.param(M4, "arm-none-eabi-size", 36, marks=needs_arm, id=M4.name),
        pytest.param(RISCV, "riscv64-unknown-elf-size", 64, marks=needs_riscv, id=RISCV.name),
    ],
)
def test_figures_agree_with_the_size_tool(tmp_path, board, size, saved):
    built = build(random_policy(), board, tmp_path)
    printed = subprocess.run([size, built.elf], capture_output=True, text=True, check=True)
    assert [*map(int, printed.stdout.splitlines()[1].split()[:3])] == [
        built.sizes.text,
        built.sizes.data,
        built.sizes.bss,
    ]
    assert built.stack.unknown == ()
    assert built.stack.interrupt > saved, "registers, and the frame of a handler"


@needs_arm
def test_damaged_object_is_made_again(tmp_path):
    build(None, M4, tmp_path)
    victim = next((tmp_path / "build").rglob("ec_net.c.o"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100])
    build(None, M4, tmp_path)
    assert victim.read_bytes() == whole


@needs_arm
@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"flash": Region(0, 8000)}, r"it needs [\d,]+ bytes of flash \(it has 8,000\)"),
        (
            {"ram": Region(0x20000000, 16384)},
            r"[\d,]+ bytes of RAM, 8,192 of them for the stack \(it has 16,384\)",
        ),
        ({"stack": 256}, r"\d{3,} bytes of stack \(its board.toml keeps 256\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_linking(tmp_path, change, numbers):
    with pytest.raises(BoardError, match=numbers):
        build(random_policy(n_neurons=128), replace(M4, **change), tmp_path)
    assert list((tmp_path / "build").rglob("*.o"))
    assert not (tmp_path / "build/firmware.elf").exists()


@needs_arm
def test_need_before_linking_is_the_linked_size(tmp_path):
    built = build(random_policy(), M4, tmp_path)
    objects = Objects((tmp_path / "build").rglob("*.o"))
    estimate = objects.sizes(objects.live(["_start", "start", "main"]))
    assert abs(estimate.flash - built.sizes.flash) <= 64
    assert abs(estimate.ram - built.sizes.ram) <= 64


def test_what_does_not_compile_is_a_build_error_with_the_compiler_s_words(tree, tmp_path):
    with (tree / "firmware/core/ec_net.c").open("a") as file:
        file.write("int unused = nonsense;\n")
    with pytest.raises(BuildError, match=r"compile core/ec_net.c:(?s:.*)nonsense"):
        build(None, find_board("virtual", tree), tmp_path / "out")


CORES = {board.cpu_flags: board for board in map(find_board, board_names()) if not board.is_host}
ZIG_BUILDS = [board for board in CORES.values() if board.architecture.zig_target]


@pytest.mark.skipif(not toolchain._has_zig(), reason="pip install ziglang")
@pytest.mark.parametrize("board", ZIG_BUILDS, ids=lambda board: board.name)
def test_zig_builds_every_core_where_there_is_no_gcc(tmp_path, board):
    built = build(None, board, tmp_path, toolchain=find_toolchain(board, {"PATH": "/nowhere"}))
    assert built.toolchain == "zig"
    assert all(name.startswith("__") for name in built.stack.unknown), "only the compiler's own"
    assert 100 < built.stack.worst < 4096
    assert built.sizes.text < 48_000


@pytest.mark.parametrize(("board", "package"), [(VIRTUAL, "gcc"), (M4, "gcc-arm-none-eabi")])
def test_missing_compiler_names_the_command_that_gets_it(monkeypatch, board, package):
    monkeypatch.setattr(toolchain, "_has_zig", lambda: False)
    with pytest.raises(ToolError, match=f"pip install ziglang, or apt install {package}"):
        find_toolchain(board, {"PATH": "/nowhere"})


def test_chosen_compiler_comes_first_for_the_host(tmp_path):
    fake = tmp_path / "mycc"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    found = find_toolchain(VIRTUAL, {"PATH": f"{tmp_path}:/usr/bin", "CC": "mycc -m64"})
    assert found.cc == (str(fake), "-m64")
    with pytest.raises(ToolError, match="CC names"):
        find_toolchain(VIRTUAL, {"PATH": "/usr/bin", "CC": "not-there"})


# -- stack ---------------------------------------------------------------------------------------

PROGRAM = """
#define APART __attribute__((noinline))
#define FILL(size) volatile char a[size]; a[0] = 1; sink(a)
APART void sink(volatile char *p) { p[0] = 2; }
static APART void leaf(void) { FILL(400); }
APART void middle(void) { FILL(200); leaf(); sink(a); }
APART void hook(void) { FILL(800); }
APART void unused(void) { FILL(9999); }
int odd(int n);
APART int even(int n) { FILL(16); return n ? odd(n - 1) + a[0] : 1; }
APART int odd(int n) { FILL(16); return n ? even(n - 1) + a[0] : 0; }
void (*volatile pointer)(void);
int main(int argc, char **argv) { (void)argv; POINTER middle(); return CALL; }
"""

SU, ZIG = "-fstack-usage", [sys.executable, "-m", "ziglang", "cc", "-fstack-size-section"]
ARM = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", SU]
RV32 = ["riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", SU]
AVR5, AVR6 = (["avr-gcc", f"-mmcu={kind}", SU] for kind in ("avr5", "avr6"))
COMPILERS = [
    pytest.param(command, id=name, marks=pytest.mark.skipif(not there, reason=name))
    for name, command, there in (
        ("gcc", ["gcc", SU], shutil.which("gcc")),
        ("clang", ["clang", SU], shutil.which("clang")),
        ("gcc-arm", ARM, shutil.which("arm-none-eabi-gcc")),
        ("gcc-rv32", RV32, shutil.which("riscv64-unknown-elf-gcc")),
        ("gcc-avr5", AVR5, shutil.which("avr-gcc")),
        ("gcc-avr6", AVR6, shutil.which("avr-gcc")),
        ("zig", ZIG, toolchain._has_zig()),
        ("zig-rv32", [*ZIG, "--target=riscv32-freestanding-none"], toolchain._has_zig()),
    )
]


def measured(compiler, folder: Path, pointer="", call="0", source=PROGRAM):
    (folder / "program.c").write_text(source.replace("POINTER", pointer).replace("CALL", call))
    flags = ["-O2", "-ffunction-sections", "-fdata-sections", "-fno-optimize-sibling-calls"]
    subprocess.run(
        [*compiler, *flags, "-c", "program.c", "-o", "program.o"], cwd=folder, check=True
    )
    return measure_stack(Objects([folder / "program.o"]), ["main"])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_stack_is_the_deepest_chain_of_what_is_linked(compiler, tmp_path):
    use = measured(compiler, tmp_path)
    assert use.calls[:3] == ("main", "middle", "leaf")
    assert 600 <= use.thread < 800
    assert use.indirect == use.interrupt == 0
    assert not (use.recursive or use.unknown or use.unbounded)


LOOP_AND_TABLE = """
__attribute__((noinline)) int sums(int n, char **words) {
    volatile int sum = 0;
    for (int i = 0; i < n; i++)
        switch (words[i][0]) {
        case 'a': sum += 3; break;
        case 'b': sum *= 7; break;
        case 'c': sum -= n; break;
        case 'd': sum /= 5; break;
        case 'e': sum ^= i; break;
        case 'f': sum <<= 1; break;
        }
    return sum;
}
int main(int argc, char **argv) { return sums(argc, argv) + 1; }
"""


@pytest.mark.parametrize("compiler", COMPILERS)
def test_places_within_a_function_are_neither_called_nor_pointed_to(compiler, tmp_path):
    use = measured(compiler, tmp_path, source=LOOP_AND_TABLE)
    assert use.calls[:2] == ("main", "sums")
    assert (use.indirect, use.interrupt, use.recursive) == (0, 0, ())


@pytest.mark.parametrize("compiler", COMPILERS)
def test_functions_called_through_pointers_come_on_top(compiler, tmp_path):
    use = measured(compiler, tmp_path, pointer="pointer = hook; pointer();")
    assert use.worst >= 600 + 800
    assert use.calls[:3] == ("main", "middle", "leaf")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_recursion_is_reported(compiler, tmp_path):
    use = measured(compiler, tmp_path, call="even(argc)")
    assert {"even", "odd"} & set(use.recursive)


# -- emulators and devices -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "port", "board", "pty", "baud"),
    [
        ("virtual", "", "virtual", False, None),
        ("virtual?baud=9600", "", "virtual", False, 9600),
        ("virtual-pty", "", "virtual", True, None),
        ("mps2-an386", "", "mps2-an386", False, None),
        ("/dev/ttyUSB0", "/dev/ttyUSB0", None, False, None),
        ("/dev/ttyUSB0?baud=1000000", "/dev/ttyUSB0", None, False, 1000000),
        ("socket://box:5000", "socket://box:5000", None, False, None),
        ("COM3", "COM3", None, False, None),
    ],
)
def test_device_spec_is_understood(spec, port, board, pty, baud):
    parsed = parse_device(spec)
    assert (parsed.port, parsed.pty, parsed.baud) == (port, pty, baud)
    assert (parsed.board.name if parsed.board else None) == board


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("teapot", "Boards: .*virtual"),
        ("mps2-an386?baud=9600", "without a speed"),
        ("mps2-an386-pty", "without a speed"),
        ("virtual?speed=1", "not baud=N"),
        ("virtual?baud=0", "not baud=N"),
        ("virtual?baud=9600&fastest=1", "not baud=N"),
        ("virtual?fastest=9600", "not baud=N"),
    ],
)
def test_device_spec_that_means_nothing_is_told(spec, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_device(spec)


def test_board_without_an_emulator_asks_for_its_port():
    with pytest.raises(BoardError, match="give its port"):
        launch(replace(M4, emulator=None), "firmware.elf")


def test_missing_emulator_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="apt install qemu-system-arm"):
        launch(M4, "firmware.elf")
    with pytest.raises(ToolError, match="apt install qemu-system-arm"), open_device("mps2-an386"):
        pass


def script(folder: Path, text: str) -> Path:
    path = folder / "firmware"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_emulator_that_dies_early_is_quoted(tmp_path):
    elf = script(tmp_path, "echo 'cannot load kernel' >&2; exit 3")
    with pytest.raises(WorldError, match=r"ended by itself \(exit code 3\): cannot load kernel"):
        launch(VIRTUAL, elf)


def test_program_that_cannot_start_is_a_tool_error(tmp_path):
    with pytest.raises(ToolError, match="cannot be started"):
        launch(VIRTUAL, tmp_path / "nothing")


def test_running_firmware_ends_with_its_context(tmp_path):
    elf = script(
        tmp_path, "trap '' TERM; echo 'ecedge virtual device on socket://127.0.0.1:9'; sleep 1000"
    )
    with launch(VIRTUAL, elf) as running:
        assert running.port == "socket://127.0.0.1:9"
        running.check()
        pid = running.process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_virtual_device_answers_with_its_policy_built_in(tmp_path):
    policy = random_policy()
    trace = []
    with open_device("virtual", policy, trace=lambda side, data: trace.append(side)) as device:
        assert device.hello.policy_hash == policy.hash
        assert device.hello.policy_source.name == "BUILT_IN"
        assert device.hello.board == "virtual"
        device.upload(random_policy(2))
        device.reset()
        assert device.step(np.zeros(3, np.int16)).output.shape == (2,)
    assert {"host", "device"} == set(trace)


def test_device_that_is_gone_is_no_device_with_its_words(monkeypatch):
    monkeypatch.setattr("ecedge.devices.START_DEADLINE", 0.2)
    from ecedge.devices import connect_running

    with Running(VIRTUAL, ["sleep", "100"], "socket://127.0.0.1:1") as running:
        with pytest.raises(NoDevice, match="connection refused"):
            connect_running(running)
    with Running(VIRTUAL, ["sh", "-c", "echo bad >&2; exit 1"], "socket://127.0.0.1:1") as running:
        with pytest.raises(WorldError, match="bad"):
            connect_running(running)


#: a host whose device was started by a thread that is gone
HOST = """
import sys, threading, time
from ecedge.devices import parse_device, run_board
started = run_board(parse_device(sys.argv[1]))
thread = threading.Thread(target=lambda: print(started.__enter__().process.pid, flush=True))
thread.start()
thread.join()
time.sleep(60)
"""


@pytest.mark.parametrize(
    "board",
    ["virtual", pytest.param("mps2-an386", marks=needs_arm), pytest.param("uno", marks=needs_avr)],
)
def test_emulator_ends_with_a_host_that_is_killed_and_not_before(tmp_path, board):
    if board != "virtual" and not shutil.which(find_board(board).emulator.program):
        assert os.environ.get("CI") != "true", f"{board} has no emulator here"
        pytest.skip(f"apt install {find_board(board).emulator.package}")
    words = [sys.executable, "-c", HOST, board]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as host:
        try:
            emulator = int(host.stdout.readline())
            time.sleep(0.3)
            assert is_running(emulator)
        finally:
            host.kill()
        end = time.monotonic() + 5
        while is_running(emulator):
            assert time.monotonic() < end
            time.sleep(0.01)
