"""What the payloads of evolution say: docs/LINK.md, 0x20 to 0x2A. As in `messages`, requests are
functions and replies frozen dataclasses.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, fields
from enum import IntEnum

import numpy as np

from ..errors import UsageError
from .messages import U32, DeviceMode, known, pack_counts, require_size


class PracticeState(IntEnum):
    """Whether a device's practice goes on, and why it does not."""

    NONE = 0
    RUNS = 1
    DONE = 2
    STOPPED = 3
    SILENCE = 4
    PLANT = 5
    EPISODES = 6
    STEPS = 7
    TIME = 8


#: instead of a member's number: the deterministic policy, and the one that was confirmed
DECIDED, CONFIRMED = 0xFFFFFFFF, 0xFFFFFFFE


def evolve_request(seed: int, generation: int, step: int, population: int, one: int) -> bytes:
    return struct.pack("<IIIHBx", seed, generation, step, population, one)


def member_request(member: int) -> bytes:
    return struct.pack("<I", member)


def ranks_request(first: int, ranks) -> bytes:
    """ranks: (n,) of int16's range."""
    return struct.pack("<I", first) + pack_counts(ranks)


def learn_request(generation: int, first: int, count: int) -> bytes:
    return struct.pack("<III", generation, first, count)


def rho_request(offset: int, length: int) -> bytes:
    return struct.pack("<IH", offset, length)


def rho_put_request(offset: int, data: bytes) -> bytes:
    return struct.pack("<I", offset) + data


@dataclass(frozen=True)
class Learned:
    """How far a device has learned: the reply to LEARN. generation: that it is at; moved: words of
    32 synapses that moved in it; rho_hash: of the probabilities, 0 in the middle of a generation.
    """

    generation: int
    moved: int
    rho_hash: int

    LAYOUT = struct.Struct("<4xIII")

    @classmethod
    def unpack(cls, payload: bytes) -> Learned:
        require_size(payload, cls.LAYOUT.size, "LEARN")
        return cls(*cls.LAYOUT.unpack(payload))


@dataclass(frozen=True)
class Practice:
    """What a device shall practise by itself, on its own plant.

    Episode e of every member of generation g begins with the seed first_seed + g · episodes + e.
    steps: the most of an episode. period: ticks. silence_ms: 10 … 60000; 0 needs no host.
    patience_ms: how long the plant may refuse an episode. most_…: what it may spend in all since
    EVOLVE; 0 is no limit. save_every: generations from one snapshot to the next; 0: none.
    """

    generations: int
    first_seed: int
    steps: int
    period: int = 0
    silence_ms: int = 0
    patience_ms: int = 0
    most_episodes: int = 0
    most_steps: int = 0
    most_ms: int = 0
    episodes: int = 1
    save_every: int = 0

    LAYOUT = struct.Struct("<9IHH")

    def __post_init__(self):
        for field in fields(self):
            value, most = getattr(self, field.name), U32
            if field.name in ("episodes", "save_every"):
                most = 0xFFFF
            if not 0 <= value <= most:
                raise UsageError(
                    f"A device cannot practise with {value} as its {field.name}.",
                    f"Give a whole number from 0 to {most}.",
                )

    def pack(self) -> bytes:
        return self.LAYOUT.pack(*astuple(self))


@dataclass(frozen=True)
class Progress:
    """Where a device's practice is, and what it has spent since EVOLVE.

    Records are there of the generations from `first_record` on, which began with the probabilities
    whose hash is `first_hash`; `room` is how many can be kept. reason: of the plant's last refusal.
    seed, population, step: of EVOLVE; first_seed, most_steps of an episode: of the last PRACTICE.
    """

    mode: int
    state: int
    phase: int
    seed: int
    population: int
    member: int
    generation: int
    first_record: int
    room: int
    moved: int
    episodes: int
    steps: int
    ms: int
    faults: int
    reason: int
    first_hash: int
    episode_steps: int
    step: int
    first_seed: int
    most_steps: int

    LAYOUT = struct.Struct("<xBBBIHH14I")

    @classmethod
    def unpack(cls, payload: bytes) -> Progress:
        require_size(payload, cls.LAYOUT.size, "PROGRESS")
        mode, state, *numbers = cls.LAYOUT.unpack(payload)
        return cls(known(DeviceMode, mode), known(PracticeState, state), *numbers)

    @property
    def runs(self) -> bool:
        return self.state == PracticeState.RUNS


@dataclass(frozen=True, eq=False)
class Record:
    """What a generation came to that a device ran by itself. rho_hash: of the probabilities after
    it; faults: episodes that ended because the plant asked for safety; returns in 1 / REWARD_ONE.
    fitness: (n,) int32 returns of the members that were asked for."""

    rho_hash: int
    steps: int
    faults: int
    best: int
    worst: int
    total: int
    fitness: np.ndarray

    LAYOUT = struct.Struct("<4xIIIiiq")

    @classmethod
    def unpack(cls, payload: bytes, count: int) -> Record:
        size = cls.LAYOUT.size
        require_size(payload, size + 4 * count, "RECORD")
        fitness = np.frombuffer(payload, "<i4", count, size).astype(np.int32)
        return cls(*cls.LAYOUT.unpack_from(payload), fitness)


class SnapshotVerb(IntEnum):
    TELL = 0
    SAVE = 1
    LOAD = 2


@dataclass(frozen=True)
class Snapshot:
    """What a device keeps in its flash of what it learned. sequence: 0 where there is none; size,
    room: bytes; generation: that it goes on with."""

    sequence: int
    size: int
    generation: int
    room: int

    LAYOUT = struct.Struct("<4xIIII")

    @classmethod
    def unpack(cls, payload: bytes) -> Snapshot:
        require_size(payload, cls.LAYOUT.size, "SNAPSHOT")
        return cls(*cls.LAYOUT.unpack(payload))


def snapshot_request(verb: int) -> bytes:
    return struct.pack("<I", verb)


def record_request(generation: int, first: int, count: int) -> bytes:
    return struct.pack("<III", generation, first, count)


def unpack_rho_hash(payload: bytes, message: str) -> int:
    """The hash in the replies to EVOLVE and RHO_PUT."""
    require_size(payload, 8, message)
    return struct.unpack("<4xI", payload)[0]
