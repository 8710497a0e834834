"""A policy that evolves on a device: docs/LINK.md, "Evolution on the device"."""

from __future__ import annotations

import numpy as np

from ..errors import PolicyError
from ..model import Policy
from . import messages
from .device import DATA_HEADER, Device
from .messages import DECIDED, Learned, MessageType

#: words that the first LEARN moves; then as many as take the device about so many seconds
FIRST_WORDS = 8
LEARN_SECONDS = 0.25


class Evolving:
    """The policy in a device's RAM, its probabilities and how they learn.

        device.upload(policy)
        evolving = Evolving(device, policy, seed, step, population)
        for member in range(population):
            evolving.draw(member)
            ...  # an episode: device.reset(), device.step() ...
        evolving.learn(ranks)

    `policy` is what was uploaded: its network and observation map stay, its synapses become
    probabilities of `one` / 256 where there is a synapse, 1 − `one` / 256 where there is none; 128
    makes all of them even. rho_hash: CRC-32 of the probabilities. All raise what `Device.request`
    raises: DeviceRefused with code CAPACITY where the device has no room.
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
    ):
        if device.hello.policy_hash != policy.hash:
            raise PolicyError(
                f"The device runs policy {device.hello.policy_hash}, not {policy.hash}.",
                "Upload it first.",
            )
        self.device = device
        self.generation = generation
        self.population = population
        self.n_synapses = policy.spec.n_synapses
        request = messages.evolve_request(seed, generation, step, population, one)
        reply = device.request(MessageType.EVOLVE, request)
        self.rho_hash = messages.unpack_rho_hash(reply, "EVOLVE")
        self._words = FIRST_WORDS

    def draw(self, member: int | None) -> None:
        """The device runs this member of the generation from its next reset on; None: the
        deterministic policy."""
        number = DECIDED if member is None else member
        self.device.request(MessageType.MEMBER, messages.member_request(number))

    def learn(self, ranks) -> int:
        """Ends the generation: (population,) ranks that sum to 0. The hash of what came out."""
        ranks = np.asarray(ranks, np.int16)
        most = (self.device.hello.max_payload - 4) // 2
        for first in range(0, self.population, most):
            request = messages.ranks_request(first, ranks[first : first + most])
            self.device.request(MessageType.RANKS, request)
        learned = Learned(self.generation, 0, 0)
        while learned.generation == self.generation:
            learned = self._learn(learned.moved)
        self.generation, self.rho_hash = learned.generation, learned.rho_hash
        return self.rho_hash

    def rho(self) -> bytes:
        """The probabilities in planes: `ecedge.reference.rho_planes` of them."""
        most = self.device.hello.max_payload - DATA_HEADER
        planes = b""
        while left := self.n_synapses - len(planes):
            size = min(most, left)
            question = messages.rho_request(len(planes), size)
            reply = self.device.request(MessageType.RHO, question, DATA_HEADER + size)
            planes += messages.unpack_bytes(reply, size, "RHO")
        return planes

    def put_rho(self, planes: bytes) -> int:
        """Sets the probabilities; their hash."""
        most = self.device.hello.max_payload - DATA_HEADER
        for at in range(0, len(planes), most):
            request = messages.rho_put_request(at, planes[at : at + most])
            reply = self.device.request(MessageType.RHO_PUT, request)
            self.rho_hash = messages.unpack_rho_hash(reply, "RHO_PUT")
        return self.rho_hash

    def _learn(self, moved: int) -> Learned:
        """Moves some more words, as many as a device may take time for."""
        request = messages.learn_request(self.generation, moved, self._words)
        learned = Learned.unpack(self.device.request(MessageType.LEARN, request))
        seconds = max(self.device.round_trip, 1e-3)
        wanted = round(self._words * min(4.0, max(0.25, LEARN_SECONDS / seconds)))
        self._words = min(max(1, wanted), self.n_synapses // 32)
        return learned
