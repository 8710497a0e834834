"""Runs a board's firmware on this machine: in QEMU, or as the process that it is."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence

from ..errors import BoardError, ToolError, WorldError
from .registry import Board, sources_root

START_DEADLINE = 4.0  # seconds from the start of the process to a line that can be opened
STOP_DEADLINE = 2.0
PREPARE_DEADLINE = 60.0  # a small program may be compiled
#: kills a process when its own input ends before a line came: who held it was killed
GUARD = 'read -r _ || kill -KILL "$1"'
ANNOUNCEMENT = re.compile(rb"ecedge virtual device on (\S+)\n")


class Running:
    """Firmware that runs. `port` is what to open: socket://127.0.0.1:PORT or a pseudo terminal.

    One host at a time: the virtual device turns others away. A context manager; the process never
    outlives it, nor a host that is killed.
    """

    def __init__(self, board: Board, command: list[str], port: str | None):
        self.board = board
        self._errors = tempfile.TemporaryFile()
        self._guard: subprocess.Popen | None = None
        try:
            self.process = _start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if port is None else subprocess.DEVNULL,
                stderr=self._errors,
            )
        except ToolError:
            self._errors.close()
            raise
        try:
            guard = ["sh", "-c", GUARD, "guard", str(self.process.pid)]
            self._guard = _start(guard, stdin=subprocess.PIPE)
            self.port = port or self._announced_port()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def check(self) -> None:
        """Raises WorldError, with its own words, when the process has ended."""
        if (code := self.process.poll()) is None:
            return
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip() or "it said nothing"
        raise WorldError(
            f"The emulated {self.board.name} ended by itself (exit code {code}): {words}.",
            "Build its firmware again; see whether another program uses its port.",
        )

    def stop(self) -> None:
        """Ends the process, whatever it does. Harmless when it ended before."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._guard and self._guard.poll() is None:
            self._guard.communicate(b"ended\n")
        if self.process.stdout:
            self.process.stdout.close()
        self._errors.close()

    def _announced_port(self) -> str:
        """What the virtual device prints when its line is open."""
        deadline = time.monotonic() + START_DEADLINE
        text = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                break
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_DEADLINE)
                break
            text += data
            if found := ANNOUNCEMENT.search(text):
                return found.group(1).decode()
        self.check()
        raise WorldError(f"The virtual device told no port within {START_DEADLINE:.0f} s.")


def _start(command: list[str], **streams) -> subprocess.Popen:
    """In a session of its own: Ctrl-C is for the host, which stops the device first."""
    try:
        return subprocess.Popen(command, start_new_session=True, **streams)
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}.") from error


def launch(
    board: Board,
    elf: str | os.PathLike,
    pty: bool = False,
    baud: int | None = None,
    extra: Sequence[str] = (),
) -> Running:
    """Starts the firmware `elf` of `board`. Opening `Running.port` may take a few tries at first.

    pty, baud: of the virtual device: a pseudo terminal instead of a socket, and a line as slow as
    that. extra: more words for the emulator's command. Raises BoardError for a board that can't be
    emulated, ToolError when the emulator is missing.
    """
    emulator = board.emulator
    if emulator is None:
        raise BoardError(
            f"{board.name} has no emulator.", "Connect the board and give its port instead."
        )
    elf = os.path.abspath(elf)
    if emulator.kind == "process":
        line = ["--pty"] if pty else ["--tcp", "0"]
        speed = ["--baud", str(baud)] if baud else []
        return Running(board, [*emulator.command(elf), *line, *speed], None)
    if pty or baud:
        raise BoardError(
            f"{board.name} runs in an emulator whose line is a socket without a speed.",
            "Leave pty and baud to the virtual board.",
        )
    check_emulator(board)
    port = _free_port()
    command = [*emulator.command(elf, port, str(sources_root() / "host")), *extra]
    return Running(board, command, f"socket://127.0.0.1:{port}")


def check_emulator(board: Board) -> None:
    """Raises ToolError, naming the package, when the board's emulator or what it needs is missing.

    Makes it ready where something is to be made first.
    """
    emulator = board.emulator
    if emulator is None or emulator.kind == "process":
        return
    if not shutil.which(emulator.program):
        raise ToolError(
            f"{board.name} is emulated by {emulator.program}, which is not installed.",
            f"Get it: apt install {emulator.package}.",
        )
    host = sources_root() / "host"
    needs, get = (text.format(host=host) for text in (emulator.needs, emulator.get))
    if needs and not os.path.exists(needs):
        raise ToolError(f"{board.name} is emulated with {needs}, which is missing.", f"Run: {get}")
    if emulator.prepare:
        _prepare(board, [word.format(host=host) for word in emulator.prepare])


def _prepare(board: Board, command: list[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PREPARE_DEADLINE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{board.name} cannot be emulated.", f"{error}.") from error
    if result.returncode:
        words = result.stderr.strip() or f"{command[0]} failed and said nothing."
        raise ToolError(f"{board.name} cannot be emulated.", words)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
