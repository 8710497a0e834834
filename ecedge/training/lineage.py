"""All that a run was ever told: from it, and the settings, whoever missed it learns the same."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ..errors import StorageError
from ..storage import append, cut, reason, write_atomically
from .normaliser import Moments

#: little-endian: mark, version, 0, population, n_obs
HEAD = struct.Struct("<4sHHII")
MARK, VERSION = b"ECLN", 1
SUM = struct.Struct("<I")  # CRC-32 of the lesson before it


@dataclass(frozen=True)
class Lesson:
    """What one generation taught: the fitness of its members, (P,) float64, and the totals of what
    they saw, of which `first` and `second` are (n_obs,) float64."""

    fitness: np.ndarray
    count: float
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, fitness: np.ndarray, moments: Moments) -> Lesson:
        total = moments.total()
        return cls(fitness, float(total.count[0]), total.first[0], total.second[0])

    def moments(self, centre: np.ndarray) -> Moments:
        """As `Learner.finish` takes them; `centre` is the normaliser's mean of that generation."""
        moments = Moments(1, centre)
        moments.count[0] = self.count
        moments.first[0] = self.first
        moments.second[0] = self.second
        return moments

    def to_bytes(self) -> bytes:
        """fitness, count, first, second as little-endian float64, and their CRC-32."""
        numbers = np.concatenate([self.fitness, [self.count], self.first, self.second])
        data = numbers.astype("<f8").tobytes()
        return data + SUM.pack(zlib.crc32(data))

    @classmethod
    def from_bytes(cls, data: bytes, population: int) -> Lesson:
        """ValueError: damaged."""
        body, (check,) = data[: -SUM.size], SUM.unpack(data[-SUM.size :])
        if zlib.crc32(body) != check:
            raise ValueError("a lesson's checksum is wrong")
        numbers = np.frombuffer(body, "<f8").astype(np.float64)
        fitness, count = numbers[:population], float(numbers[population])
        first, second = np.split(numbers[population + 1 :], 2)
        return cls(fitness, count, first, second)


class Lineage:
    """A file with a lesson for every generation, each of the same size, in order.

    `rewind` comes first. `whole` is False where the lessons of earlier generations are missing, as
    in a run that was begun before there were lineages: then nothing is appended either.
    """

    def __init__(self, path: Path, population: int, n_obs: int):
        self.path = path
        self.whole = False
        self._head = HEAD.pack(MARK, VERSION, 0, population, n_obs)
        self._size = 8 * (population + 1 + 2 * n_obs) + SUM.size
        self._population = population

    def rewind(self, generation: int) -> None:
        """Drops what was told from `generation` on, and what a power cut left of a lesson."""
        self.whole = False
        if generation == 0:
            write_atomically(self.path, self._head)
        elif not self._holds(generation):
            return
        else:
            cut(self.path, HEAD.size + generation * self._size)
        self.whole = True

    def append(self, lesson: Lesson) -> None:
        if self.whole:
            append(self.path, lesson.to_bytes())

    def read(self, first: int, end: int) -> list[bytes]:
        """The lessons of generations `first` ... `end - 1`, as `Lesson.to_bytes` gave them."""
        try:
            with open(self.path, "rb") as file:
                file.seek(HEAD.size + first * self._size)
                records = [file.read(self._size) for _ in range(first, end)]
            for record in records:
                Lesson.from_bytes(record, self._population)
        except OSError as error:
            raise StorageError(f"Cannot read {self.path}: {reason(error)}.") from error
        except (ValueError, struct.error) as error:
            raise StorageError(
                f"{self.path} is damaged.", "Resume the run without --cluster."
            ) from error
        return records

    def _holds(self, generation: int) -> bool:
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                return (
                    file.read(HEAD.size) == self._head
                    and size >= HEAD.size + generation * self._size
                )
        except OSError:
            return False


def fingerprint(state: dict[str, np.ndarray]) -> bytes:
    """16 bytes that differ where two learners' states do."""
    hashed = blake2b(digest_size=16)
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        hashed.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hashed.update(array.tobytes())
    return hashed.digest()
