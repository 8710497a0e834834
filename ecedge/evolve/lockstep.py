"""The device's twin: from the same seed and ranks the same probabilities, by the host's engine."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass

import numpy as np

from ..engine import Batch, update_rho
from ..errors import UsageError
from ..model import Policy
from ..reference import deterministic_synapses, rho_planes, softened, with_golden_trace

POPULATIONS = range(2, 16001)
SEEDS = range(1 << 32)


@dataclass(frozen=True)
class Origin:
    """From where evolution begins, and by what numbers: all that a device is told of it.

    policy: its network and observation map stay. one: of 256, the probability of a synapse that it
    has; of one that it lacks 256 − one. step: E of docs/MODEL.md section 5.
    """

    policy: Policy
    seed: int
    step: int
    population: int
    one: int

    def __post_init__(self):
        check_population(self.population)
        if self.seed not in SEEDS:
            raise UsageError(f"A seed is a number from 0 to {SEEDS[-1]}, not {self.seed}.")
        if self.step not in range(1, 1 << 32):
            raise UsageError(f"A step is a number from 1 to {(1 << 32) - 1}, not {self.step}.")
        if self.one not in range(1, 256):
            raise UsageError(f"A probability of {self.one} / 256 cannot evolve; give 1 to 255.")


def check_population(population: int) -> None:
    if population not in POPULATIONS:
        raise UsageError(f"A population has 2 to {POPULATIONS[-1]} members, not {population}.")


class Lockstep:
    """What a device's probabilities must be after every generation.

    rho: (n_synapses,) uint8. networks: the members, drawn when a generation begins; a batch of the
    origin's spec and population. While one thread learns, others may ask for what was learned.
    """

    def __init__(self, origin: Origin, threads: int | None = None, networks: Batch | None = None):
        self.origin = origin
        self.rho = softened(origin.policy.synapses, origin.one)
        self.networks = networks or Batch(origin.policy.spec, origin.population, threads)
        self.networks.set_map(origin.policy.observation_map)
        self._ranks: list[np.ndarray] = []
        self._hashes = [self.rho_hash]
        self._turn = threading.Lock()
        self._draw()

    @property
    def generation(self) -> int:
        """Generations that are learned."""
        return len(self._ranks)

    @property
    def planes(self) -> bytes:
        """The probabilities as the device holds them."""
        return rho_planes(self.rho)

    @property
    def rho_hash(self) -> int:
        return zlib.crc32(self.planes)

    def member(self, number: int) -> Policy:
        """One of this generation's, without a proof."""
        return self._policy(self.networks.store(number))

    def decided(self) -> Policy:
        """The deterministic policy, as it is kept: with its proof."""
        return with_golden_trace(self._policy(deterministic_synapses(self.rho)))

    def learn(self, ranks) -> None:
        """Ends the generation: (population,) ranks that sum to 0."""
        ranks = np.array(ranks, np.int32)
        gradient = self.networks.gradient(ranks)
        origin = self.origin
        rho = update_rho(self.rho, gradient, origin.step, origin.seed, self.generation)
        with self._turn:
            self.rho = rho
            self._hashes.append(self.rho_hash)
            self._ranks.append(ranks)
        self._draw()

    def now(self) -> tuple[int, bytes]:
        """The generation and the probabilities of one moment, as a device holds them."""
        with self._turn:
            return self.generation, self.planes

    def ranks_of(self, generation: int) -> np.ndarray:
        """(population,) int32 that ended a generation."""
        return self._ranks[generation]

    def hash_after(self, generations: int) -> int:
        """The hash of what so many generations taught."""
        return self._hashes[generations]

    def generation_of(self, rho_hash: int | None) -> int | None:
        """How many generations teach what has this hash: at least one, None where none do."""
        found = [number for number, known in enumerate(self._hashes) if known == rho_hash]
        return found[-1] if found and found[-1] else None

    def before(self, generation: int) -> Lockstep:
        """What the first so many generations taught, learned again."""
        twin = Lockstep(self.origin)
        for ranks in self._ranks[:generation]:
            twin.learn(ranks)
        return twin

    def _draw(self) -> None:
        self.networks.sample(self.rho, self.origin.seed, self.generation)

    def _policy(self, synapses) -> Policy:
        policy = self.origin.policy
        return Policy(policy.spec, policy.observation_map, synapses)
