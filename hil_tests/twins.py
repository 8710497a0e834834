"""Random networks, and the reference as a twin of the device that runs them."""

from __future__ import annotations

import zlib

import numpy as np

from ecedge import reference
from ecedge.model import DISCRETE, SIGNED, NetworkSpec, ObservationMap, Policy
from ecedge.reference.network import input_drive, substep, unpacked

DENSITY = {"sparse": 0.1, "half": 0.5, "silent": 0.0, "full": 1.0}


def random_policy(seed: int, bits: str = "half", golden_steps: int = 2, **numbers) -> Policy:
    """A network with random bits and a random observation map."""
    rng = np.random.default_rng(seed)
    spec = NetworkSpec(**({"substeps": 4} | numbers))
    shift = rng.integers(0, 10, spec.n_obs)
    observations = ObservationMap(
        rng.integers(-500, 500, spec.n_obs),
        rng.integers(1, 200, spec.n_obs),
        shift,
        rng.integers(-4, 12, spec.n_obs),
    )
    chosen = rng.random((spec.n_synapses,)) < DENSITY[bits]
    synapses = np.packbits(chosen, bitorder="little").view("<u4")
    return reference.with_golden_trace(Policy(spec, observations, synapses), golden_steps)


def random_counts(policy: Policy, steps: int, seed: int = 0) -> np.ndarray:
    """(steps, n_obs) int16: from quiet to saturated, with the extremes among them."""
    rng = np.random.default_rng(seed)
    scale = 2.0 ** rng.integers(4, 16, (steps, 1))
    counts = rng.normal(0.0, scale, (steps, policy.spec.n_obs))
    counts[rng.random(counts.shape) < 0.02] = 32767
    counts[rng.random(counts.shape) < 0.02] = -32768
    return np.clip(counts, -32768, 32767).astype(np.int16)


class ReferenceTwin:
    """`ecedge.reference` step by step, with the running digest and the spikes of a step."""

    def __init__(self, policy: Policy):
        self.policy = policy
        self._w_in, self._w_rec, self._w_out = unpacked(policy)
        self.reset()

    def reset(self) -> None:
        self._state = reference.reset(self.policy.spec)
        self.digest = 0
        self.spikes = 0

    def step(self, raw: np.ndarray) -> np.ndarray:
        """(n_obs,) int16 -> (n_act,) int16."""
        spec = self.policy.spec
        drive = input_drive(self.policy, self._w_in, raw)
        self.spikes = 0
        for _ in range(spec.substeps):
            self._state = substep(spec, self._w_rec, self._w_out, drive, self._state)
            self.spikes += int(self._state.spikes.sum())
        self.digest = zlib.crc32(self.state(), self.digest)
        return self._state.output.astype(np.int16)

    def state(self) -> bytes:
        return reference.state_bytes(self._state)


def quick_twin(policy: Policy):
    """The batch engine where it is built, else the reference: same bits, same interface."""
    try:
        from ecedge.hil import Twin
    except ImportError:
        return ReferenceTwin(policy)
    return Twin(policy)


#: what random networks must reach: every size, both forms, odd counts, all saturations
NETWORKS = {
    "smallest": dict(n_obs=1, n_act=1, n_neurons=32, substeps=1),
    "small, strong": dict(n_obs=3, n_act=2, n_neurons=32, recurrent_gain=7, output_gain=12),
    "small, weak": dict(n_obs=3, n_act=2, n_neurons=32, recurrent_gain=-7, input_shift=7),
    "small, signed": dict(n_obs=3, n_act=2, n_neurons=32, form=SIGNED, bits="full"),
    "small, full": dict(n_obs=2, n_act=3, n_neurons=32, bits="full", n_exc=32, output_gain=12),
    "odd counts": dict(n_obs=7, n_act=5, n_neurons=64, bits="sparse"),
    "usual": dict(n_obs=11, n_act=3, n_neurons=128, substeps=16),
    "slow decay": dict(n_obs=4, n_act=1, n_neurons=96, current_shift=7, membrane_shift=7),
    "fast decay": dict(n_obs=4, n_act=2, n_neurons=32, current_shift=1, membrane_shift=1),
    "signed": dict(n_obs=5, n_act=3, n_neurons=128, form=SIGNED, output_shift=7),
    "signed, full": dict(n_obs=2, n_act=2, n_neurons=64, form=SIGNED, bits="full"),
    "silent": dict(n_obs=3, n_act=3, n_neurons=64, bits="silent"),
    "full": dict(n_obs=3, n_act=3, n_neurons=64, bits="full", n_exc=64),
    "all inhibitory": dict(n_obs=3, n_act=2, n_neurons=64, n_exc=0),
    "odd groups": dict(n_obs=9, n_act=7, n_neurons=160, n_exc=77, actions=DISCRETE),
    "strong": dict(n_obs=6, n_act=4, n_neurons=128, recurrent_gain=7, output_gain=12),
    "weak": dict(n_obs=6, n_act=4, n_neurons=128, recurrent_gain=-7, output_gain=0, input_shift=7),
    "outputs saturate": dict(
        n_obs=2, n_act=31, n_neurons=256, n_exc=256, output_gain=12, output_shift=7, bits="full"
    ),
    "many observations": dict(n_obs=127, n_act=2, n_neurons=64, input_shift=3),
    "large": dict(n_obs=17, n_act=6, n_neurons=256, substeps=16, bits="sparse"),
    "largest": dict(n_obs=5, n_act=3, n_neurons=512, substeps=3),
    "largest, signed": dict(n_obs=3, n_act=1, n_neurons=512, form=SIGNED, recurrent_gain=-2),
    "both kinds in a word": dict(n_obs=4, n_act=4, n_neurons=96, n_exc=45, bits="sparse"),
    "as many outputs as codes": dict(n_obs=4, n_act=8, n_neurons=64, n_exc=41, bits="sparse"),
    "more outputs": dict(n_obs=4, n_act=9, n_neurons=64, n_exc=41, bits="sparse"),
}
