"""Bytes to and from a device: a serial port, a pseudo terminal, a TCP socket.

The only module that imports pyserial, and only when a port is opened. A SerialException never
leaves it.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import Protocol

from ..errors import LineLost, NoDevice, ToolError

WRITE_DEADLINE = 5.0  # seconds: a line that takes no bytes for so long is dead
REOPEN_PAUSE = 0.02  # seconds between two tries
CHUNK = 4096
DEFAULT_BAUD = 115200
#: speeds of a line; below, a request would outlast every patience
BAUDS = range(300, 100_000_000)
RESET_PULSE = 0.05  # seconds without DTR and RTS

KNOWN_REASONS = (
    "Connection refused",
    "Name or service not known",
    "No such file or directory",
    "Permission denied",
    "Temporary failure in name resolution",
)


class Transport(Protocol):
    """A stream of bytes with deadlines. `baud` is None where the line costs no time.

    `read` and `write` raise LineLost when the line breaks; then `reopen` may help.
    """

    name: str
    baud: int | None

    def read(self, timeout: float) -> bytes:
        """The bytes that are there, after at most `timeout` seconds; b"" when none came."""

    def write(self, data: bytes) -> None: ...

    def set_baud(self, baud: int) -> bool:
        """Gives the line another speed; whether it has it now."""

    def reopen(self, timeout: float) -> None:
        """Opens a line again that broke, trying for `timeout` seconds; else LineLost."""

    def close(self) -> None: ...


class SerialTransport:
    """A port opened by pyserial."""

    def __init__(self, name: str, port, baud: int | None):
        self.name = name
        self.baud = baud
        self._port = port

    def read(self, timeout: float) -> bytes:
        with _translated(self.name):
            self._port.timeout = max(timeout, 0.0)
            first = self._port.read(1)
            if not first:
                return b""
            self._port.timeout = 0.0
            return first + self._port.read(CHUNK)

    def write(self, data: bytes) -> None:
        with _translated(self.name):
            self._port.write(data)

    def set_baud(self, baud: int) -> bool:
        with _translated(self.name):
            try:
                self._port.baudrate = baud  # a socket takes every number, and does nothing
            except ValueError:
                return False
        self.baud = baud
        return True

    def reopen(self, timeout: float) -> None:
        self.close()
        end = time.monotonic() + timeout
        while True:
            time.sleep(REOPEN_PAUSE)
            try:
                self._port = _open_port(self.name, self.baud)
                return
            except NoDevice as error:
                if time.monotonic() >= end:
                    raise LineLost(
                        f"The line to {self.name} broke, and could not be opened again within "
                        f"{timeout:.0f} s. {error.message}",
                        "Check the cable and the power (or the emulator), then connect again.",
                    ) from error

    def reset_board(self) -> None:
        """Drops DTR and RTS and raises them: a board whose reset hangs on one begins anew.

        Whether one does, the line cannot tell. Raises NoDevice where the port has no such lines.
        """
        try:
            self._port.dtr = self._port.rts = False
            time.sleep(RESET_PULSE)
            self._port.dtr = self._port.rts = True
        except OSError as error:
            raise NoDevice(
                f"{self.name} cannot reset a board: it has neither DTR nor RTS.",
                "Let the board run on, and reset it by hand.",
            ) from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._port.close()


def open_transport(port: str, baud: int | None = None) -> SerialTransport:
    """Opens `socket://HOST:PORT`, `/dev/ttyACM0`, `COM3` or any other URL that pyserial knows.

    `baud` is the line's speed in bits a second: serial ports default to 115200, sockets to a line
    that costs no time. Raises NoDevice, with what to try, when the port cannot be opened.
    """
    if baud is None and "://" not in port:
        baud = DEFAULT_BAUD
    return SerialTransport(port, _open_port(port, baud), baud)


def _open_port(port: str, baud: int | None):
    try:
        import serial
    except ImportError as error:
        raise ToolError("Talking to a device needs pyserial.", "pip install pyserial") from error

    is_url = "://" in port
    if port.startswith("socket://") and not re.fullmatch(r"socket://[^/]+:\d{1,5}/?", port):
        raise NoDevice(f"{port} does not name a port of a host.", "Say socket://HOST:PORT.")
    try:
        handle = serial.serial_for_url(
            port,
            baudrate=baud if baud and not is_url else DEFAULT_BAUD,
            write_timeout=WRITE_DEADLINE,
            exclusive=None if is_url else True,
        )
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise NoDevice(f"Cannot open {port}: {_reason(error)}.", _open_hint(port, error)) from error
    if not is_url:
        _settle_terminal(handle)
    elif hasattr(handle, "_socket"):
        _send_at_once(handle._socket)
    return handle


@dataclass(frozen=True)
class Port:
    """A serial port of this machine, and what the system knows of it without opening it.

    usb_id: "VID:PID" in hexadecimal; usb_serial: the serial number of the board or of its USB
    adapter. Empty: the port is no USB device, or has none.
    """

    name: str
    usb_id: str = ""
    usb_serial: str = ""
    description: str = ""


def serial_ports() -> list[Port]:
    """The serial ports of this machine, sorted by name. Opens none."""
    from serial.tools.list_ports import comports

    return sorted((_described(port) for port in comports()), key=lambda port: port.name)


def _described(port) -> Port:
    usb_id = f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else ""
    # pyserial's word for a description that there is not
    description = "" if port.description in (None, "n/a") else port.description
    return Port(port.device, usb_id, port.serial_number or "", description)


def _settle_terminal(handle) -> None:
    """Makes a terminal answer quickly and leave the board alone, as far as its driver can.

    Low latency lifts FTDI's 16 ms timer. Many boards reset on an edge of DTR or RTS. The kernel
    raises both on open and drops them on close; without HUPCL it leaves them up, so that the next
    open makes no edge.
    """
    with contextlib.suppress(Exception):  # pseudo terminals and some adapters have neither
        handle.set_low_latency_mode(True)
    with contextlib.suppress(Exception):
        import termios

        settings = termios.tcgetattr(handle.fileno())
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(handle.fileno(), termios.TCSANOW, settings)


def _send_at_once(sock) -> None:
    """A resend must not wait for the acknowledgement of what it repeats."""
    import socket

    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextlib.contextmanager
def _translated(name: str):
    try:
        yield
    except OSError as error:
        raise LineLost(
            f"The line to {name} broke: {_reason(error)}.",
            "Check the cable and the power (or the emulator), then connect again.",
        ) from error


def _reason(error: Exception) -> str:
    """The cause in the system's own words, without pyserial's wrapping of them."""
    text = getattr(error, "strerror", None) or str(error)
    for known in KNOWN_REASONS:
        if known in text:
            return known.lower()
    if "Inappropriate ioctl" in text:
        return "it is not a serial port"
    if "exclusively lock" in text or "Device or resource busy" in text:
        return "another program has it open"
    return text.rstrip(".")


def _open_hint(port: str, error: Exception) -> str:
    text = str(error)
    if "ermission denied" in text:
        return "Join the group that owns it (often: sudo usermod -aG dialout $USER)."
    if "exclusively lock" in text or "busy" in text:
        return "Close the other program (a serial monitor?) and try again."
    if port.startswith("socket://"):
        return "Check that the device or emulator is running and listens on that port."
    return "Check the cable and the name of the port."
