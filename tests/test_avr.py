"""AVR boards: constants that stay in flash, frames of assembly, and the emulator's runner."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecedge import reference
from ecedge.boards import find_board, sources_root
from ecedge.boards.build import build
from ecedge.boards.emulator import check_emulator, launch
from ecedge.boards.objects import Objects, program_image
from ecedge.devices import connect_running, open_device
from ecedge.errors import DoesNotFit, ToolError, WorldError
from ecedge.link import PolicySource
from ecedge.link.messages import MessageType, Status
from ecedge.model import NetworkSpec, ObservationMap, Policy

UNO = find_board("uno")
RUNNER = sources_root() / "host/simavr"
DEADLINE = 30.0

needs_avr = pytest.mark.skipif(not shutil.which("avr-gcc"), reason="apt install gcc-avr")
needs_simavr = pytest.mark.skipif(
    not Path("/usr/include/simavr").is_dir(), reason="apt install libsimavr-dev"
)


def random_policy(n_neurons=32, **numbers) -> Policy:
    spec = NetworkSpec(4, 2, n_neurons, **{"substeps": 2} | numbers)
    plain = ObservationMap([0] * 4, [64] * 4, [4] * 4, [8] * 4)
    bits = np.random.default_rng(1).integers(0, 2**32, spec.n_words, np.uint32)
    return reference.with_golden_trace(Policy(spec, plain, bits), 2)


# -- the build -----------------------------------------------------------------------------------


@needs_avr
def test_policy_lies_in_flash_and_takes_ram_once(tmp_path):
    policy = random_policy()
    built = build(policy, UNO, tmp_path / "with")
    none = build(None, UNO, tmp_path / "without")
    assert policy.image in program_image(built.elf)[1]
    assert built.sizes.ram == none.sizes.ram
    assert built.stack.worst < UNO.stack


@needs_avr
def test_policy_without_room_in_ram_is_refused(tmp_path):
    with pytest.raises(DoesNotFit, match="bytes of RAM"):
        build(random_policy(128), UNO, tmp_path)


@needs_avr
def test_constants_count_as_ram(tmp_path):
    (tmp_path / "x.c").write_text("extern const char table[]; const char table[100] = {1};\n")
    command = ["avr-gcc", "-mmcu=avr5", "-O2", "-fdata-sections", "-c", "x.c", "-o", "x.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    objects = Objects([tmp_path / "x.o"])
    assert objects.sizes([objects.globals["table"]]).data == 100


@needs_avr
def test_frame_of_assembly_is_known(tmp_path):
    (tmp_path / "x.S").write_text(
        '#include "ec_asm.h"\n.section .text.foo,"ax",@progbits\n.global foo\n'
        ".type foo, @function\nfoo: ret\nstack_size foo, 7\n"
    )
    core = f"-I{sources_root() / 'firmware/core'}"
    command = ["avr-gcc", "-mmcu=avr5", core, "-c", "x.S", "-o", "x.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    objects = Objects([tmp_path / "x.o"])
    assert objects.sections[objects.globals["foo"]].frame == 7


# -- the kernels ---------------------------------------------------------------------------------


@needs_avr
@needs_simavr
@pytest.mark.parametrize(
    ("current_shift", "membrane_shift", "recurrent_gain"), [(1, 7, 0), (7, 1, -1), (4, 2, -7)]
)
def test_kernel_that_is_assembled_for_a_network_proves_it(
    current_shift, membrane_shift, recurrent_gain
):
    policy = random_policy(
        substeps=20,
        current_shift=current_shift,
        membrane_shift=membrane_shift,
        recurrent_gain=recurrent_gain,
    )
    with open_device("uno", policy) as device:
        assert device.hello.policy_source == PolicySource.BUILT_IN
        assert device.hello.policy_hash == policy.hash


@needs_avr
@needs_simavr
@pytest.mark.parametrize("numbers", [(3, 3, 0), (1, 7, 0), (7, 1, -1), (4, 2, -7)])
def test_assembly_equals_plain_c_for_any_numbers(tmp_path, numbers):
    names = ("CURRENT_SHIFT", "MEMBRANE_SHIFT", "RECURRENT_GAIN")
    firmware = sources_root() / "firmware"
    (tmp_path / "memory.ld").write_text(
        "MEMORY { flash : ORIGIN = 0, LENGTH = 32K\nram : ORIGIN = 0x800100, LENGTH = 2K }\n"
        "stack_size = 256;\n"
    )
    command = ["avr-gcc", "-mmcu=avr5", "-std=c99", "-O2", "-ffreestanding", "-Wall", "-Werror"]
    command += [f"-DEC_FAST_{name}={x}" for name, x in zip(names, numbers, strict=True)]
    command += [f"-I{firmware / folder}" for folder in ("kernels/avr", "core")]
    command += [sources_root() / "tests/c/test_avr.c", firmware / "bare/memory.c"]
    command += [firmware / "cpu/avr/start.S", *sorted((firmware / "kernels/avr").glob("*.S"))]
    command += [firmware / "kernels/avr/ec_update.c", "-nostdlib", "-lgcc", "-o", "test.elf"]
    command += [f"-L{tmp_path}", "-T", firmware / "cpu/avr/link.ld"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=DEADLINE)
    with launch(UNO, tmp_path / "test.elf") as running:
        with contextlib.closing(connect_running(running)) as line:
            line.write(b"?")
            end, said = time.monotonic() + DEADLINE, b""
            while not said.endswith(b"\n"):
                assert time.monotonic() < end
                said += line.read(1.0)
    assert said == b"equal\n"


# -- the runner ----------------------------------------------------------------------------------


@pytest.fixture
def runner(tmp_path) -> Path:
    """A copy that compiles into a cache of its own."""
    return shutil.copytree(RUNNER, tmp_path / "host/simavr") / "run.py"


def refused(runner: Path, **environment) -> str:
    result = subprocess.run(
        [sys.executable, runner, "atmega328p", "16000000", "firmware.elf", "0"],
        env={"HOME": str(runner.parent)} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 1
    return result.stderr


def test_missing_compiler_of_the_runner_names_its_package(runner):
    said = refused(runner, PATH="/nowhere")
    assert said == "There is no C compiler for the emulator of AVRs. Get one: apt install gcc\n"


@pytest.mark.parametrize(
    "words",
    [
        "simavr.c:30:10: fatal error: simavr/avr_uart.h: No such file or directory",
        "simavr.c:30:10: fatal error: 'simavr/avr_uart.h' file not found",
        "/usr/bin/ld: cannot find -lsimavr: No such file or directory",
    ],
)
def test_missing_library_of_the_runner_names_its_package(runner, tmp_path, words):
    compiler = tmp_path / "mycc"
    compiler.write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 1\n')
    compiler.chmod(0o755)
    said = refused(runner, PATH=os.environ["PATH"], CC=str(compiler))
    assert said == "libsimavr is not installed. Get it: apt install libsimavr-dev libelf-dev\n"


def test_missing_library_is_told_before_anything_is_built_or_started(runner, tmp_path):
    (tmp_path / "cc").write_text("#!/bin/sh\necho 'cannot find -lsimavr' >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    prepare = ("env", f"HOME={tmp_path}", f"CC={tmp_path}/cc", sys.executable, str(runner))
    board = replace(UNO, emulator=replace(UNO.emulator, prepare=prepare))
    words = "libsimavr is not installed. Get it: apt install libsimavr-dev libelf-dev"
    with pytest.raises(ToolError, match=rf"^uno cannot be emulated\. {words}$"):
        check_emulator(board)


@needs_simavr
def test_runner_is_made_ready_before_the_start(runner, tmp_path):
    command = [sys.executable, runner]
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for _ in range(2):
        subprocess.run(command, env=environment, check=True, timeout=DEADLINE)
        assert len(list((tmp_path / "cache/ecedge/simavr").iterdir())) == 1


@pytest.mark.parametrize("prepare", [("/nowhere/python",), ("false",)])
def test_emulator_that_cannot_be_made_ready_is_told(prepare):
    with pytest.raises(ToolError, match=r"^uno cannot be emulated\. .*(python|false)"):
        check_emulator(replace(UNO, emulator=replace(UNO.emulator, prepare=prepare)))


@needs_simavr
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["atmega328p", "16000000", "/nowhere/firmware.elf", "0"], "cannot be read"),
        (["atmega328p", "16000000", __file__, "0"], "is no program for an AVR"),
        (["z80", "16000000", __file__, "0"], "knows no z80"),
        (["atmega328p"], "Say: simavr MCU HZ FIRMWARE PORT"),
    ],
)
def test_what_the_runner_cannot_run_is_told(words, complaint):
    command = [sys.executable, RUNNER / "run.py", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert complaint in result.stderr


ECHO = """
#define REGISTER(address) (*(volatile unsigned char *)(address))
__attribute__((section(".vectors"), used, naked)) void begin(void)
{
    __asm__ volatile("clr r1");
    REGISTER(0xC0) = 2;    /* UCSR0A: U2X */
    REGISTER(0xC4) = 16;   /* UBRR0L: 115,200 baud */
    REGISTER(0xC1) = 0x18; /* UCSR0B: receiver and transmitter */
    for (;;) {
        while (!(REGISTER(0xC0) & 0x80)) { }
        unsigned char byte = REGISTER(0xC6);
        while (!(REGISTER(0xC0) & 0x20)) { }
        REGISTER(0xC6) = byte;
    }
}
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """The port of a program that sends back what it gets."""
    if not shutil.which("avr-gcc") or not Path("/usr/include/simavr").is_dir():
        pytest.skip("apt install gcc-avr libsimavr-dev")
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.c").write_text(ECHO)
    flags = ["-mmcu=avr5", "-O2", "-nostdlib", "-Wl,-Ttext=0,-e,begin"]
    subprocess.run(["avr-gcc", *flags, "echo.c", "-o", "echo.elf"], cwd=folder, check=True)
    with launch(UNO, folder / "echo.elf") as running:
        yield int(running.port.rpartition(":")[2])


def connect(port: int) -> socket.socket:
    """The emulator takes a moment to listen, and to learn that the host before has gone."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            line = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            line.sendall(b"?")
            if line.recv(1) == b"?":
                return line
            line.close()
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.05)


def test_line_loses_no_byte_of_a_burst(echo):
    sent = np.random.default_rng(0).bytes(4000)
    with connect(echo) as line:
        line.sendall(sent)
        got = b""
        while len(got) < len(sent):
            data = line.recv(4096)
            assert data
            got += data
    assert got == sent


@needs_avr
@needs_simavr
def test_byte_of_the_line_takes_ten_bits_and_the_next_follows_at_once():
    bit = 17 / 2e6  # 115,200 baud, as near as the chip comes
    with open_device("uno") as device:
        device.transport.write(bytes(500))  # empty frames: the line is busy all the time
        question = device.ask(MessageType.STATUS, queued=500)
        device.transport.write(bytes(4000))
        began = Status.unpack(device.answer(question)).uptime_ms
        taken = device.status().uptime_ms - began
    assert taken == pytest.approx(1000 * 4000 * 10 * bit, abs=10)


def test_line_has_one_host_at_a_time_and_then_the_next(echo):
    with connect(echo) as first:
        with socket.create_connection(("127.0.0.1", echo), timeout=DEADLINE) as second:
            assert second.recv(1) == b""
        first.sendall(b"still here")
        assert first.recv(1) == b"s"
    with connect(echo):
        pass


def test_emulator_that_stops_is_quoted(tmp_path):
    if not Path("/usr/include/simavr").is_dir():
        pytest.skip("apt install libsimavr-dev")
    with launch(UNO, tmp_path / "none.elf") as running:
        running.process.wait(DEADLINE)
        with pytest.raises(WorldError, match=r"none.elf cannot be read"):
            running.check()
