"""A policy that evolves on a device: docs/LINK.md, "Evolution on the device"."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import DeviceRefused
from ..model import Policy
from . import learning, messages
from .codec import frame_size
from .device import DATA_HEADER, Device
from .learning import DECIDED, Learned
from .messages import ErrorCode, MessageType, PolicySource

#: bytes of a request's data at first, and at the least: a line that spoils bytes takes small ones
FIRST_PIECE, LEAST_PIECE = 64, 16
#: words that the first LEARN moves; then as many as take the device about so many seconds
FIRST_WORDS = 8
LEARN_SECONDS = 0.25
#: bytes of a reply that tells but status and mode, the hash too, and LEARN's
SHORT_REPLY, HASH_REPLY, LEARN_REPLY = 2, 8, 16


class Evolving:
    """The policy in a device's RAM, its probabilities and how they learn.

        device.upload(policy)
        evolving = Evolving(device, policy, seed, step, population)
        for member in range(population):
            device.reset(member=member)
            ...  # an episode: device.step() ...
        evolving.learn(ranks)

    `policy` is what was uploaded: its network and observation map stay, its synapses become
    probabilities of `one` / 256 where there is a synapse, 1 − `one` / 256 where there is none; 128
    makes all of them even. rho_hash: CRC-32 of the probabilities. All raise what `Device.request`
    raises: DeviceRefused with code CAPACITY where the device has no room.

    Where a device evolves already, by the same numbers, rho_hash is given: the hash of what it
    learned up to `generation` (see `learned_hash`). It goes on, and nothing is asked of it.
    """

    def __init__(
        self,
        device: Device,
        policy: Policy,
        seed: int,
        step: int,
        population: int,
        generation: int = 0,
        one: int = 128,
        rho_hash: int | None = None,
    ):
        self.device = device
        self.generation = generation
        self.population = population
        self.n_synapses = policy.spec.n_synapses
        self._numbers = seed, step, population, one
        self._words = FIRST_WORDS
        self._piece = FIRST_PIECE
        if rho_hash is not None:
            self.rho_hash = rho_hash
            return
        device.check_policy(policy)
        self.restart(generation)

    def restart(self, generation: int) -> None:
        """Begins a generation with the synapses that the device runs now; `put_rho` follows, but in
        the first one."""
        seed, *numbers = self._numbers
        request = learning.evolve_request(seed, generation, *numbers)
        reply = self.device.request(MessageType.EVOLVE, request)
        self.generation, self.rho_hash = generation, learning.unpack_rho_hash(reply, "EVOLVE")

    def draw(self, member: int | None) -> None:
        """The device runs this member of the generation from its next reset on; None: the
        deterministic policy."""
        number = DECIDED if member is None else member
        self.device.request(MessageType.MEMBER, learning.member_request(number))

    def learn(self, ranks) -> int:
        """Ends the generation: (population,) ranks that sum to 0. The hash of what came out."""
        ranks = np.asarray(ranks, np.int16)
        for piece in self._pieces(2 * self.population):
            part = ranks[piece.start // 2 : piece.stop // 2]
            request = learning.ranks_request(piece.start // 2, part)
            self.device.request(MessageType.RANKS, request, SHORT_REPLY)
        learned = Learned(self.generation, 0, 0)
        while learned.generation == self.generation:
            learned = self._learn(learned.moved)
        self.generation, self.rho_hash = learned.generation, learned.rho_hash
        return self.rho_hash

    def rho(self) -> bytes:
        """The probabilities in planes: `ecedge.reference.rho_planes` of them."""
        return read_rho(self.device, self.n_synapses)

    def put_rho(self, planes: bytes) -> int:
        """Sets the probabilities; their hash."""
        for piece in self._pieces(len(planes)):
            request = learning.rho_put_request(piece.start, planes[piece])
            reply = self.device.request(MessageType.RHO_PUT, request, HASH_REPLY)
            self.rho_hash = learning.unpack_rho_hash(reply, "RHO_PUT")
        return self.rho_hash

    @property
    def learn_size(self) -> int:
        """Bytes on the line, both ways, of learning a generation, if the device is quick."""
        moved, words, requests = 0, self._words, 0
        while moved < self.n_synapses // 32:
            moved, words, requests = moved + words, 4 * words, requests + 1
        learns = requests * (frame_size(12) + frame_size(LEARN_REPLY))
        return _exchange(2 * self.population, self._most, SHORT_REPLY) + learns

    @property
    def put_size(self) -> int:
        """Bytes on the line, both ways, of going on from all probabilities."""
        restart = frame_size(16) + frame_size(HASH_REPLY)
        return restart + _exchange(self.n_synapses, self._most, HASH_REPLY)

    @property
    def _most(self) -> int:
        """Bytes of data in a request or a reply, an even number."""
        return (self.device.hello.max_payload - DATA_HEADER) & ~1

    def _pieces(self, size: int) -> Iterator[slice]:
        """Data in as many requests as it takes: longer ones while all come through at once."""
        at, statistics = 0, self.device.statistics
        while at < size:
            piece = slice(at, min(at + min(self._piece, self._most), size))
            asked_again = statistics.resends
            yield piece
            at = piece.stop
            if statistics.resends == asked_again:
                self._piece = min(2 * self._piece, self._most)
            else:
                self._piece = max(self._piece // 4 * 2, LEAST_PIECE)

    def _learn(self, moved: int) -> Learned:
        """Moves some more words, as many as a device may take time for."""
        request = learning.learn_request(self.generation, moved, self._words)
        reply = self.device.request(MessageType.LEARN, request, LEARN_REPLY)
        learned = Learned.unpack(reply)
        seconds = max(self.device.round_trip, 1e-3)
        wanted = round(self._words * min(4.0, max(0.25, LEARN_SECONDS / seconds)))
        self._words = min(max(1, wanted), self.n_synapses // 32)
        return learned


def read_rho(device: Device, n_synapses: int) -> bytes:
    """The probabilities of a device whose policy evolves, in planes."""
    most = device.hello.max_payload - DATA_HEADER
    planes = b""
    while left := n_synapses - len(planes):
        size = min(most, left)
        question = learning.rho_request(len(planes), size)
        reply = device.request(MessageType.RHO, question, DATA_HEADER + size)
        planes += messages.unpack_bytes(reply, size, "RHO")
    return planes


def learned_hash(device: Device) -> int | None:
    """The hash of what a device has learned that evolves already; None where nothing does, or where
    it is in the middle of a generation's LEARN."""
    if device.hello.policy_source != PolicySource.EVOLVING:
        return None
    try:
        reply = device.request(MessageType.RHO_PUT, learning.rho_put_request(0, b""), HASH_REPLY)
    except DeviceRefused as refusal:
        if refusal.code not in (ErrorCode.IMAGE, ErrorCode.OFFSET):
            raise
        return None
    return learning.unpack_rho_hash(reply, "RHO_PUT")


def _exchange(size: int, most: int, reply: int) -> int:
    """Bytes on the line, both ways, of data in requests of up to `most` bytes of it."""
    pieces = [most] * (size // most) + [size % most] * (size % most > 0)
    return sum(frame_size(DATA_HEADER + piece) + frame_size(reply) for piece in pieces)
