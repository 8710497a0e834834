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
        self._ends: list[np.ndarray | int] = []  # of generations: ranks, or what they went back to
        self._hashes = [self.rho_hash]
        self._turn = threading.Lock()
        self._draw()

    @property
    def generation(self) -> int:
        """Generations that are learned."""
        return len(self._ends)

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

    def decided(self, rho: np.ndarray | None = None) -> Policy:
        """The deterministic policy, as it is kept: with its proof. rho: of others than those of
        now."""
        rho = self.rho if rho is None else rho
        return with_golden_trace(self._policy(deterministic_synapses(rho)))

    def taught(self, ranks) -> np.ndarray:
        """(n_synapses,) uint8: what the generation teaches by (population,) ranks that sum to 0."""
        gradient = self.networks.gradient(np.array(ranks, np.int32))
        origin = self.origin
        return update_rho(self.rho, gradient, origin.step, origin.seed, self.generation)

    def learn(self, ranks, rho: np.ndarray | None = None) -> None:
        """Ends the generation by its ranks. rho: what they teach, where that is known."""
        self._end(np.array(ranks, np.int32), self.taught(ranks) if rho is None else rho)

    def go_back(self, generations: int) -> None:
        """Ends the generation with what the first so many had taught, whatever its ranks."""
        self._end(generations, self.before(generations).rho)

    def now(self) -> tuple[int, bytes]:
        """The generation and the probabilities of one moment, as a device holds them."""
        with self._turn:
            return self.generation, self.planes

    def ranks_of(self, generation: int) -> np.ndarray | None:
        """(population,) int32 that ended a generation; None: it went back."""
        end = self._ends[generation]
        return None if isinstance(end, int) else end

    def hash_after(self, generations: int) -> int:
        """The hash of what so many generations taught."""
        return self._hashes[generations]

    def first_with(self, rho_hash: int) -> int | None:
        """After how many generations the probabilities had this hash first."""
        return self._hashes.index(rho_hash) if rho_hash in self._hashes else None

    def generation_of(self, rho_hash: int | None) -> int | None:
        """How many generations teach what has this hash: at least one, and no other number of them;
        else None."""
        found = [number for number, known in enumerate(self._hashes) if known == rho_hash]
        return found[0] if len(found) == 1 and found[0] else None

    def before(self, generation: int) -> Lockstep:
        """What the first so many generations taught, learned again."""
        twin, ends = Lockstep(self.origin), self._ends[:generation]
        kept = {end: twin.rho for end in ends if isinstance(end, int)}  # what they went back to
        for number, end in enumerate(ends):
            if number in kept:
                kept[number] = twin.rho
            if isinstance(end, int):
                twin._end(end, kept[end])
            else:
                twin.learn(end)
        return twin

    def _end(self, end: np.ndarray | int, rho: np.ndarray) -> None:
        with self._turn:
            self.rho = rho
            self._hashes.append(self.rho_hash)
            self._ends.append(end)
        self._draw()

    def _draw(self) -> None:
        self.networks.sample(self.rho, self.origin.seed, self.generation)

    def _policy(self, synapses) -> Policy:
        policy = self.origin.policy
        return Policy(policy.spec, policy.observation_map, synapses)
