"""What a device learned, in a few bytes a generation: seeds and ranks replay to the same policy.

Little-endian. A head, then a record for every generation, each of the same size:

    head    'ECEV' | version u16 = 1 | 0 u16 | seed u32 | step u32 | population u16 | one u8 | 0 u8
            | image size u32 | policy image | crc32 of all before
    record  ranks, i16 for each member | rho hash u32, after them | crc32 of this record before

Ranks that are all -32768 are none: a collapse, whose end is the probabilities that had the hash
first.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ..engine import Batch
from ..errors import PolicyError, StorageError, UsageError
from ..model import Policy
from ..storage import append, cut, reason, write_atomically
from .lockstep import Lockstep, Origin

MARK, VERSION = b"ECEV", 1
HEAD = struct.Struct("<4sHHIIHBBI")
HASH = struct.Struct("<I")
NO_RANK = -32768


class Lineage:
    """A lineage file. `append` has a generation on the disk when it returns; what a power cut left
    of one is dropped when the file is opened again."""

    def __init__(self, path: Path, origin: Origin):
        self.path = path
        self.origin = origin
        self._head = _head_of(origin)
        self._size = 2 * origin.population + 2 * HASH.size

    @classmethod
    def create(cls, path: Path, origin: Origin) -> Lineage:
        lineage = cls(path, origin)
        write_atomically(path, lineage._head)
        return lineage

    @classmethod
    def open(cls, path: Path) -> Lineage:
        """Raises StorageError: there is none, or it is damaged."""
        return cls(path, _origin_of(_read(path), path))

    def append(self, ranks, rho_hash: int) -> None:
        """ranks: None for a generation that went back to the probabilities of `rho_hash`."""
        if ranks is None:
            ranks = np.full(self.origin.population, NO_RANK)
        data = np.asarray(ranks, "<i2").tobytes() + HASH.pack(rho_hash)
        append(self.path, data + HASH.pack(zlib.crc32(data)))

    def __iter__(self) -> Iterator[tuple[np.ndarray | None, int]]:
        """(ranks (P,) int32, hash of the probabilities after them) of every generation that is
        whole; ranks None: it went back to them."""
        data = _read(self.path)[len(self._head) :]
        for at in range(0, len(data) - self._size + 1, self._size):
            record = data[at : at + self._size]
            if HASH.unpack(record[-HASH.size :])[0] != zlib.crc32(record[: -HASH.size]):
                return
            ranks = np.frombuffer(record, "<i2", self.origin.population).astype(np.int32)
            back = (ranks == NO_RANK).all()
            yield None if back else ranks, HASH.unpack_from(record, 2 * self.origin.population)[0]

    def check(self) -> int:
        """The number of its generations. StorageError: something follows them that is none."""
        whole = sum(1 for _ in self)
        if rest := len(_read(self.path)) - len(self._head) - whole * self._size:
            raise StorageError(
                f"{self.path} holds {rest} bytes behind generation {whole} that are none.",
                f"A power cut leaves such at the end; --generations {whole} leaves them out.",
            )
        return whole

    def cut(self, generations: int) -> None:
        """Drops what follows so many generations: a half-written one, say."""
        cut(self.path, len(self._head) + generations * self._size)


def is_lineage(path: Path) -> bool:
    """Whether a file begins as a lineage does."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(len(MARK)) == MARK
    return False


def replay(
    lineage: Lineage,
    threads: int | None = None,
    networks: Batch | None = None,
    generations: int | None = None,
) -> Lockstep:
    """The probabilities after all generations of a lineage, or after the first so many. networks:
    as of `Lockstep`. StorageError: they are not what its hashes say."""
    twin = Lockstep(lineage.origin, threads, networks)
    for ranks, rho_hash in islice(lineage, generations):
        if ranks is not None:
            twin.learn(ranks)
        elif (earlier := twin.first_with(rho_hash)) is not None:
            twin.go_back(earlier)
        if twin.rho_hash != rho_hash:
            raise StorageError(
                f"{lineage.path} replays to other probabilities in generation "
                f"{twin.generation - 1}: {twin.rho_hash:08x}, not {rho_hash:08x}.",
                "It is of another ecedge, or was changed.",
            )
    if generations is not None and twin.generation < generations:
        raise UsageError(
            f"{lineage.path} holds {twin.generation} generations, not {generations}.",
            "Give fewer, or none for all.",
        )
    return twin


def _head_of(origin: Origin) -> bytes:
    image = origin.policy.image
    numbers = origin.seed, origin.step, origin.population, origin.one, 0, len(image)
    head = HEAD.pack(MARK, VERSION, 0, *numbers) + image
    return head + HASH.pack(zlib.crc32(head))


def _origin_of(data: bytes, path: Path) -> Origin:
    if len(data) < HEAD.size or data[:4] != MARK:
        raise StorageError(f"{path} is no lineage of a device's evolution.")
    _, version, zero, seed, step, population, one, also_zero, size = HEAD.unpack_from(data)
    end = HEAD.size + size
    if version != VERSION:
        raise StorageError(f"{path} has version {version}; this ecedge reads {VERSION}.")
    if zero or also_zero or data[end : end + HASH.size] != HASH.pack(zlib.crc32(data[:end])):
        raise StorageError(f"{path} is damaged.", "Its first generation is lost with its head.")
    try:
        return Origin(Policy.from_image(data[HEAD.size : end]), seed, step, population, one)
    except PolicyError as error:
        raise StorageError(f"{path} is damaged: {error.message}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {reason(error)}.") from error
