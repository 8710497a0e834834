"""The kind of network that devices run: one-bit synapses, and how their probabilities evolve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..engine import Batch, CoreNetwork
from ..evolution import Evolution
from ..model import ObservationMap, Policy
from ..policy_file import PolicyInfo, save_policy
from ..reference import GOLDEN_STEPS, with_golden_trace
from ..tasks import Task
from .cost import Cost
from .normaliser import Normaliser, input_scale
from .settings import Settings


class OneBit:
    """What a `Trainer` needs to know of a kind of network: one-bit spiking ones."""

    file = "policy.onnx"

    def __init__(self, settings: Settings, task: Task):
        self.task = task
        self.spec = settings.network(task)
        self._settings = settings
        self._gain = input_scale(settings.input_gain, task.n_obs)[1]

    def search(self) -> Evolution:
        settings = self._settings
        return Evolution(
            self.spec.n_synapses,
            settings.population,
            settings.learning_rate,
            settings.seed,
            settings.rho_bits,
            settings.step,
            settings.half_life,
        )

    def networks(self, population: int, threads: int | None = None) -> OneBitNetworks:
        return OneBitNetworks(self.spec, self.task, population, threads)

    def freeze(self, normaliser: Normaliser) -> ObservationMap:
        """The inputs' scale of the next generation."""
        return normaliser.freeze(self._gain)

    def policy(self, search: Evolution, observation_map: ObservationMap) -> Policy:
        """The deterministic policy as the search has it."""
        return Policy(self.spec, observation_map, search.deterministic())

    def member(
        self, networks: OneBitNetworks, number: int, observation_map: ObservationMap
    ) -> Policy:
        """What a device runs of a member; the core proves it, quicker than the reference."""
        policy = Policy(self.spec, observation_map, networks.store(number), GOLDEN_STEPS)
        return policy.with_golden(GOLDEN_STEPS, CoreNetwork(policy).golden_crc())

    def controllers(self, policy: Policy, population: int, threads: int | None = None):
        """`population` times the same policy, to be judged by."""
        return OneBitNetworks.of(policy, self.task, population, threads)

    def prove(self, policy: Policy) -> Policy:
        """The policy as it is kept: one that a device can prove."""
        return with_golden_trace(policy)

    def save(self, path: Path, policy: Policy, info: PolicyInfo) -> None:
        save_policy(path, policy, info)

    def read(self, image: bytes) -> Policy:
        """The policy that has this `image`."""
        return Policy.from_image(image)

    def cost(self, activity: float) -> Cost:
        """The observation map multiplies; all else is additions of bits and shifts."""
        spec = self.spec
        spikes = activity * spec.n_neurons * spec.substeps
        additions = 2 * spec.n_obs * spec.n_neurons + spikes * (spec.n_neurons + spec.n_act)
        return Cost(4 * spec.n_words, round(additions), spec.n_obs)


class OneBitNetworks(Batch):
    """A population of networks that act in a task's terms."""

    def __init__(self, spec, task: Task, population: int, threads: int | None = None):
        super().__init__(spec, population, threads)
        self._low = np.array(task.low, np.float32)
        self._high = np.array(task.high, np.float32)
        if task.discrete:
            self._actions = np.zeros(population, np.int64)
        else:
            self._actions = np.tile(self._low, (population, 1))

    @classmethod
    def of(cls, policy: Policy, task: Task, population: int, threads: int | None = None):
        """`population` times the same policy."""
        networks = cls(policy.spec, task, population, threads)
        networks.set_map(policy.observation_map)
        for member in range(population):
            networks.load(member, policy.synapses)
        return networks

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        """One control step of the members where `live` (M,) bool is set.

        observations: (M, n_obs) float -> actions as `decode_action` gives them, (M, ...); others
        keep their last. Threads may do so at once with members that do not overlap. PolicyError:
        not a finite number.
        """
        actions = self._actions[members]
        super().act(members.start, observations, live, self._low, self._high, actions)
        return actions.copy()
