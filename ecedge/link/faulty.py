"""A line that fails on purpose, by a seed: around a transport, or as a proxy on a port of its own.

    Device(FaultyTransport(open_transport(port), Faults(drop=0.01, flip=0.01), seed=7))

What befalls a byte depends on the seed, the direction and the byte's place in the stream, not on
how the stream was cut into pieces.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import LineLost, LinkError, UsageError
from .transport import CHUNK, WRITE_DEADLINE, Transport, open_transport

LONGEST_PAUSE = 60.0  # seconds
TICK = 0.1  # seconds: how long a proxy may take to notice that it should end
KINDS = ("drop", "flip", "duplicate", "reorder", "truncate", "delay", "stall", "cut")


@dataclass(frozen=True)
class Faults:
    """What befalls a byte, each with a chance of 0 … 1; a byte meets one of them at most.

    cut_every: also, a connection ends after so many seconds, between half and one and a half times
    as many; 0: it does not.
    """

    drop: float = 0.0  # it is lost
    flip: float = 0.0  # one of its bits is another
    duplicate: float = 0.0  # it comes twice
    reorder: float = 0.0  # it comes after the next one
    truncate: float = 0.0  # it is lost, and all behind it up to the next zero byte, that included
    delay: float = 0.0  # it, and all behind it, comes later by `delay_s`
    stall: float = 0.0  # the same by `stall_s`
    cut: float = 0.0  # the connection ends before it
    delay_s: float = 0.02
    stall_s: float = 1.5
    cut_every: float = 0.0

    def __post_init__(self):
        chances = [getattr(self, kind) for kind in KINDS]
        if not all(0 <= chance <= 1 for chance in chances) or sum(chances) > 1:
            raise UsageError(
                "The faults' chances are not what they can be.",
                "Each is a number of 0 … 1, and so is their sum.",
            )
        if not all(0 <= seconds <= LONGEST_PAUSE for seconds in (self.delay_s, self.stall_s)):
            raise UsageError(f"A line pauses for 0 … {LONGEST_PAUSE:.0f} seconds.")
        if not 0 <= self.cut_every < float("inf"):
            raise UsageError(
                f"A line cannot be cut every {self.cut_every:g} seconds; give 0 or more."
            )

    def lifetime(self, chance: random.Random) -> float:
        """Seconds until a connection that begins now is cut."""
        return self.cut_every * (0.5 + chance.random()) if self.cut_every else float("inf")


class FaultyStream:
    """One direction. `counts` says how many bytes met which fault."""

    def __init__(self, faults: Faults, seed: int, direction: str):
        self.faults = faults
        self.counts = dict.fromkeys(KINDS, 0)
        self._random = random.Random(f"{seed} {direction}")
        self._held = b""  # a byte that waits for the next one
        self._truncating = False

    def damage(self, data: bytes) -> Iterator[tuple[float, bytes | None]]:
        """(seconds to wait, bytes that come then), in order; None instead of bytes is a cut."""
        pause, piece = 0.0, b""
        for byte in data:
            kind = self._fate()
            whole = bytes([byte])
            if kind == "cut":
                yield pause, piece
                self._held, self._truncating = b"", False
                yield 0.0, None
                return
            if kind in ("delay", "stall"):
                yield pause, piece
                pause = self.faults.delay_s if kind == "delay" else self.faults.stall_s
                piece = b""
            if self._truncating or kind == "truncate":
                self._truncating = byte != 0
                continue
            if kind == "reorder" and not self._held:
                self._held = whole
                continue
            piece += self._changed(whole, kind) + self._held
            self._held = b""
        yield pause, piece

    def _fate(self) -> str | None:
        at = self._random.random()
        for kind in KINDS:
            at -= getattr(self.faults, kind)
            if at < 0:
                self.counts[kind] += 1
                return kind
        return None

    def _changed(self, byte: bytes, kind: str | None) -> bytes:
        match kind:
            case "drop":
                return b""
            case "flip":
                return bytes([byte[0] ^ 1 << self._random.randrange(8)])
            case "duplicate":
                return byte + byte
        return byte


class FaultyTransport:
    """A transport with faults in both directions. A cut closes the line and raises LineLost."""

    def __init__(
        self,
        line: Transport,
        faults: Faults,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.name = line.name
        self.line = line
        self.out = FaultyStream(faults, seed, "host")
        self.back = FaultyStream(faults, seed, "device")
        self._clock = clock
        self._sleep = sleep
        self._lifetimes = random.Random(f"{seed} lifetime")
        self._ends = clock() + faults.lifetime(self._lifetimes)
        self._coming: deque[tuple[float, bytes | None]] = deque()  # when, what

    @property
    def baud(self) -> int | None:
        return self.line.baud

    def set_baud(self, baud: int) -> bool:
        return self.line.set_baud(baud)

    def read(self, timeout: float) -> bytes:
        end = self._clock() + timeout
        while True:
            now = self._clock()
            if now >= self._ends:
                self._cut()
            if self._coming and self._coming[0][0] <= now:
                _, piece = self._coming.popleft()
                if piece is None:
                    self._cut()
                if piece:
                    return piece
                continue
            if now >= end:
                return b""
            due = self._coming[0][0] if self._coming else end
            self._take(self.line.read(min(due, end, self._ends) - now))

    def write(self, data: bytes) -> None:
        if self._clock() >= self._ends:
            self._cut()
        for pause, piece in self.out.damage(data):
            if pause:
                self._sleep(pause)
            if piece is None:
                self._cut()
            if piece:
                self.line.write(piece)

    def reopen(self, timeout: float) -> None:
        self._coming.clear()
        self.line.reopen(timeout)
        self._ends = self._clock() + self.out.faults.lifetime(self._lifetimes)

    def close(self) -> None:
        self.line.close()

    def _take(self, data: bytes) -> None:
        due = max(self._clock(), self._coming[-1][0] if self._coming else 0.0)
        for pause, piece in self.back.damage(data):
            due += pause
            self._coming.append((due, piece))

    def _cut(self) -> None:
        self._coming.clear()
        self.line.close()
        raise LineLost(f"The line to {self.name} was cut on purpose.")


class Proxy:
    """Listens for a host and passes on what it and the device at `port` say, with faults.

        with Proxy("/dev/ttyACM0", Faults(flip=0.01), seed=7) as proxy:
            threading.Thread(target=proxy.serve).start()
            ... Device(open_transport(proxy.url)) ...

    One host at a time; the line to the device is opened for each anew, at what `port` is by then. A
    cut ends both. baud: as of open_transport. listen: (host, port), port 0 for any. Raises NoDevice
    when the device's port cannot be opened now, UsageError when nobody can listen there.
    """

    def __init__(
        self,
        port: str,
        faults: Faults,
        seed: int = 0,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        baud: int | None = None,
    ):
        open_transport(port, baud).close()
        try:
            self._listener = socket.create_server(listen)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"Nobody can listen on {listen[0]}:{listen[1]}: {error.strerror or error}.",
                "Give another port; 0 takes any that is free.",
            ) from error
        self._listener.settimeout(TICK)
        self.url = "socket://{}:{}".format(*self._listener.getsockname()[:2])
        self.hosts = 0
        self.port, self._baud = port, baud
        self._faults = faults
        self._lifetimes = random.Random(f"{seed} lifetime")
        self._out = FaultyStream(faults, seed, "host")
        self._back = FaultyStream(faults, seed, "device")
        self._ending = threading.Event()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._listener.close()

    @property
    def counts(self) -> dict[str, int]:
        """Bytes that met each fault, both directions."""
        return {kind: self._out.counts[kind] + self._back.counts[kind] for kind in KINDS}

    def stop(self) -> None:
        """Makes `serve` return soon."""
        self._ending.set()

    def serve(self) -> None:
        """Serves one host after the other until `stop`."""
        while not self._ending.is_set():
            try:
                host, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # closed
            self.hosts += 1
            with host, contextlib.suppress(LinkError):
                host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._join(host, open_transport(self.port, self._baud))

    def _join(self, host: socket.socket, device: Transport) -> None:
        """Both directions, until either side or a cut ends them."""
        over = threading.Event()
        end = time.monotonic() + self._faults.lifetime(self._lifetimes)
        host.settimeout(WRITE_DEADLINE)
        back = threading.Thread(
            target=self._pass_on,
            args=(self._back, lambda: device.read(TICK), host.sendall, over, end),
            daemon=True,
        )
        back.start()
        try:
            self._pass_on(self._out, lambda: _receive(host), device.write, over, end)
        finally:
            over.set()
            back.join(WRITE_DEADLINE + TICK)
            host.close()  # first: closing a device may take a while
            device.close()

    def _pass_on(
        self,
        stream: FaultyStream,
        take: Callable[[], bytes],
        give: Callable[[bytes], None],
        over: threading.Event,
        end: float,
    ) -> None:
        with contextlib.suppress(OSError, LinkError, EOFError):
            while not (over.is_set() or self._ending.is_set() or time.monotonic() >= end):
                for pause, piece in stream.damage(take()):
                    if piece is None or (pause and over.wait(pause)):
                        over.set()
                        break
                    if piece:
                        give(piece)
        over.set()


def _receive(host: socket.socket) -> bytes:
    """What the host sent; b"" where it says nothing for a while. EOFError when it has left."""
    if not select.select([host], [], [], TICK)[0]:
        return b""
    data = host.recv(CHUNK)
    if not data:
        raise EOFError
    return data
