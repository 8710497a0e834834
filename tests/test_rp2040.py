"""The RP2040: its second stage of booting, its image, its emulator."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ecedge.boards import find_board, sources_root, toolchain, uf2
from ecedge.boards.build import build
from ecedge.boards.emulator import check_emulator, launch
from ecedge.boards.objects import program_image
from ecedge.boards.toolchain import find_toolchain
from ecedge.devices import connect_running
from ecedge.errors import BoardError, ToolError, WorldError
from ecedge.export.project import write_project
from ecedge.link import Device

PICO = find_board("pico")
ORIGIN, FAMILY = 0x10000000, 0xE48BFF56
RUN = sources_root() / "host/rp2040js/run.mjs"
DEADLINE = 60.0

needs_compiler = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="apt install gcc-arm-none-eabi"
)
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="apt install make")
needs_emulator = pytest.mark.skipif(
    not shutil.which("node") or not (RUN.parent / "node_modules").is_dir(),
    reason="make programs",
)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory) -> Path:
    """The program without a policy; firmware.uf2 lies beside it."""
    return build(None, PICO, tmp_path_factory.mktemp("pico")).elf


# -- the second stage ----------------------------------------------------------------------------


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2: the RP2040 data sheet's, 2.8.1.3.1."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
    return crc


def test_crc_is_the_known_one():
    assert crc32(b"123456789") == 0x0376E6E7


COMPILERS = [
    pytest.param("/usr/bin:/usr/local/bin", marks=needs_compiler, id="gcc"),
    pytest.param(
        "/nowhere",
        id="zig",
        marks=pytest.mark.skipif(not toolchain._has_zig(), reason="pip install ziglang"),
    ),
]


@pytest.mark.parametrize("path", COMPILERS)
def test_second_stage_has_its_crc_and_the_vectors_follow(tmp_path, path):
    built = build(None, PICO, tmp_path, toolchain=find_toolchain(PICO, {"PATH": path}))
    origin, image = program_image(built.elf)
    (crc,) = struct.unpack_from("<I", image, 252)
    assert origin == ORIGIN
    assert f"{crc:08X}" == f"{crc32(image[:252]):08X}", "correct the last word of boot2.S"
    stack, start = struct.unpack_from("<2I", image, 256)
    assert stack == PICO.ram.origin + PICO.ram.length
    assert start % 2 == 1 and ORIGIN < start < ORIGIN + len(image)


# -- UF2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 255, 256, 257, 10_000])
def test_image_comes_back_in_whole_pages(size):
    image = bytes(i % 251 for i in range(size))
    data = uf2.encode(ORIGIN, image, FAMILY)
    assert len(data) == 512 * -(-size // 256)
    origin, decoded = uf2.decode(data, FAMILY)
    assert origin == ORIGIN
    assert decoded == image + bytes(-size % 256)


def test_block_is_as_specified():
    data = uf2.encode(ORIGIN, bytes([7]) * 300, FAMILY)
    assert data[512:544].hex() == (
        "5546320a" "57515d9e" "00200000" "00010010" "00010000" "01000000" "02000000" "56ff8be4"
    )  # fmt: skip
    assert data[544 : 544 + 44] == bytes([7]) * 44
    assert data[588:1020] == bytes(432)
    assert data[1020:].hex() == "306fb10a"


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


GOOD = uf2.encode(ORIGIN, bytes(700), FAMILY)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "blocks of 512"),
        (GOOD[:-1], "blocks of 512"),
        (flip(GOOD, 0), "block 0 does not look"),
        (flip(GOOD, 512 + 4), "block 1 does not look"),
        (flip(GOOD, 512 + 9), "block 1 does not look"),
        (flip(GOOD, 1535), "block 2 does not look"),
        (uf2.encode(ORIGIN, bytes(700), 0x12345678), "family 0x12345678, not for 0xe48bff56"),
        (flip(GOOD, 512 + 13), "block 1 does not follow"),
        (flip(GOOD, 512 + 20), "block 1 does not follow"),
        (GOOD[:1024], "not whole"),
        (GOOD[512:], "not whole"),
    ],
)
def test_what_is_no_whole_file_of_the_family_is_refused(data, complaint):
    with pytest.raises(BoardError, match=complaint):
        uf2.decode(data, FAMILY)


@needs_compiler
def test_build_writes_the_program_as_uf2(firmware):
    origin, image = program_image(firmware)
    decoded = uf2.decode(firmware.with_suffix(".uf2").read_bytes(), FAMILY)
    assert decoded == (origin, image + bytes(-len(image) % 256))


@needs_make
@needs_compiler
def test_project_makes_the_same_uf2_without_python_and_copies_it_to_the_drive(tmp_path):
    write_project(None, PICO, tmp_path)
    drive = tmp_path / "RPI RP2"
    drive.mkdir()
    run = ["make", "-C", tmp_path, "-j2", "flash"]
    result = subprocess.run([*run, "DRIVE="], capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode != 0 and "BOOTSEL" in result.stdout
    subprocess.run([*run, f"DRIVE={drive}"], check=True, capture_output=True, timeout=DEADLINE)
    origin, image = program_image(tmp_path / "build/firmware.elf")
    assert (drive / "firmware.uf2").read_bytes() == uf2.encode(origin, image, FAMILY)


# -- the emulator --------------------------------------------------------------------------------


def lacking(**change) -> object:
    return replace(PICO, emulator=replace(PICO.emulator, **change))


def test_missing_package_names_the_command_that_gets_it():
    with pytest.raises(ToolError, match=r"missing\. Run: npm ci --prefix .*host/rp2040js"):
        check_emulator(lacking(args=("true", "{elf}", "{port}"), needs="{host}/nothing"))


def test_runner_needs_nothing_that_its_lock_file_does_not_pin():
    lock = (RUN.parent / "package-lock.json").read_text()
    assert "://" not in lock and "resolved" not in lock
    assert lock.count('"integrity"') == 1


@pytest.fixture
def running(firmware, request):
    program = firmware.with_suffix(getattr(request, "param", ".elf"))
    with launch(PICO, program) as running:
        yield running


@needs_compiler
@needs_emulator
@pytest.mark.parametrize("running", [".elf", ".uf2"], indirect=True)
def test_firmware_boots_and_answers(running):
    with Device(connect_running(running)) as device:
        assert device.hello.board == "pico"
        assert device.hello.reset_cause.name == "POWER_ON"
        assert device.hello.boot_count == 1


RESETS_ONCE = """
#include "ec_rig.h"
static uint32_t mark __attribute__((section(".noinit")));
static void apply(void *context, int16_t *outputs, unsigned n)
{
    (void)context, (void)outputs, (void)n;
}
static void safe(void *context, int16_t *outputs, unsigned n)
{
    (void)context, (void)outputs, (void)n;
    if (mark != 1u) {
        mark = 1u;
        *(volatile uint32_t *)0xE000ED0Cu = 0x05FA0004u; /* AIRCR: SYSRESETREQ */
        for (;;) {
        }
    }
}
ec_rig ec_rig_open(void)
{
    return (ec_rig){.apply = apply, .safe = safe};
}
"""


@needs_make
@needs_compiler
@needs_emulator
def test_reset_of_the_core_is_told_and_counted(tmp_path):
    write_project(None, PICO, tmp_path)
    (tmp_path / "app/ec_rig.c").write_text(RESETS_ONCE)
    subprocess.run(["make", "-C", tmp_path, "-j2"], check=True, capture_output=True, timeout=60)
    with launch(PICO, tmp_path / "build/firmware.uf2") as running:
        with Device(connect_running(running)) as device:
            assert device.hello.reset_cause.name == "SOFTWARE"
            assert device.hello.boot_count == 2


@needs_compiler
@needs_emulator
@pytest.mark.parametrize("at", [0, 252])
def test_boot_rom_refuses_a_wrong_second_stage(firmware, tmp_path, at):
    origin, image = program_image(firmware)
    path = tmp_path / "wrong.uf2"
    path.write_bytes(uf2.encode(origin, flip(image, at), FAMILY))
    result = subprocess.run(
        ["node", RUN, path, "0"], capture_output=True, text=True, timeout=DEADLINE
    )
    assert result.returncode == 1 and "second stage's CRC" in result.stderr


@needs_compiler
@needs_emulator
def test_second_host_is_turned_away(running):
    with Device(connect_running(running)) as device:
        address = running.port.removeprefix("socket://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=10) as second:
            assert second.recv(1) == b""
        assert device.status().good_frames > 0


@needs_compiler
@needs_emulator
def test_sleeping_chip_leaves_the_computer_alone_and_keeps_time(running):
    def used() -> float:
        fields = Path(f"/proc/{running.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    with Device(connect_running(running)) as device:
        asked, first, begun = time.monotonic(), device.status().uptime_ms, time.monotonic()
        cpu = used()
        time.sleep(2)
        assert used() - cpu < 0.25 * (time.monotonic() - begun)
        ended, last, answered = time.monotonic(), device.status().uptime_ms, time.monotonic()
        assert 900 * (ended - begun) <= last - first <= 1100 * (answered - asked)


@needs_compiler
@needs_emulator
def test_emulator_ends_with_its_parent(firmware):
    code = (
        "import subprocess, sys\n"
        f"process = subprocess.Popen(['node', {str(RUN)!r}, {str(firmware)!r}, '0'],"
        " stdout=subprocess.PIPE)\n"
        "process.stdout.readline()\n"
        "print(process.pid)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE
    )
    path = Path(f"/proc/{int(result.stdout)}")
    for _ in range(100):
        if not path.exists() or ") Z " in (path / "stat").read_text():
            return
        time.sleep(0.1)
    pytest.fail("it still runs")


@needs_emulator
@pytest.mark.parametrize(
    ("content", "complaint"), [(b"\x7fELF", "neither an ELF nor"), (b"text" * 200, "neither")]
)
def test_other_files_are_refused(tmp_path, content, complaint):
    path = tmp_path / "firmware"
    path.write_bytes(content)
    with launch(PICO, path) as running:
        running.process.wait(DEADLINE)
        with pytest.raises(WorldError, match=complaint):
            running.check()
