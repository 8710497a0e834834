"""A population of one network shape, stepped, sampled and weighed by SIMD kernels on threads."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext

import numpy as np

from ..errors import PolicyError, ToolError
from ..model import DISCRETE, NetworkSpec, ObservationMap
from ._library import c_spec, check, contiguous, ffi, lib, pointer, word


def kernels() -> list[str]:
    """The kernels that this machine can run, best first."""
    names = []
    while (name := lib.ec_batch_kernel_name(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


class Batch:
    """`population` networks of one spec, each with its own synapses and state.

    The results do not depend on `kernel` (default: the best of `kernels()`) or `threads` (default:
    one for each core that this process may use). Calls from several Python threads take turns.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        population: int,
        threads: int | None = None,
        kernel: str | None = None,
    ):
        self.spec = spec
        self.population = population
        if threads is None:
            threads = len(os.sched_getaffinity(0))
        name = kernel.encode() if kernel else ffi.NULL
        try:
            batch = lib.ec_batch_create(c_spec(spec), population, threads, name)
        except OverflowError:  # a number that C has no room for
            batch = ffi.NULL
        if batch == ffi.NULL:
            raise ToolError(
                f"A batch of {population} networks on {threads} threads with kernel "
                f"{kernel or 'best'} could not be made.",
                f"Kernels of this machine: {', '.join(kernels())}; or memory is short.",
            )
        self._batch = ffi.gc(batch, lib.ec_batch_destroy)
        self._turn = threading.Lock()

    @property
    def kernel(self) -> str:
        return ffi.string(lib.ec_batch_kernel(self._batch)).decode()

    def set_map(self, observation_map: ObservationMap) -> None:
        """The observation map of all members."""
        entries = observation_map.to_bytes()
        if observation_map.n_obs != self.spec.n_obs:
            raise ValueError("the map has another number of channels")
        check(lib.ec_batch_map(self._batch, ffi.from_buffer("ec_channel[]", entries)))

    def set_limits(self, limits) -> None:
        """What `act` keeps the outputs to from now on, a (low, high, slew) for each output, as a
        device does (LINK.md, LIMITS). The slew counts from what was applied last, after `reset`
        from 0: the safe action of a device without one of its own."""
        try:
            kept = ffi.new("ec_limit[]", [tuple(limit) for limit in limits])
        except (OverflowError, TypeError) as error:
            raise ValueError(f"a limit is three integers: {error}") from error
        if len(kept) != self.spec.n_act:
            raise ValueError(f"there are {len(kept)} limits for {self.spec.n_act} outputs")
        check(lib.ec_batch_limit(self._batch, kept))

    def load(self, member: int, synapses) -> None:
        """Gives a member its synapses: (n_words,) uint32, plain."""
        words = contiguous(np.ravel(synapses), np.uint32, (self.spec.n_words,))
        check(lib.ec_batch_load(self._batch, word(member), pointer(words, "uint32_t[]")))

    def store(self, member: int) -> np.ndarray:
        """A member's synapses: (n_words,) uint32, plain."""
        words = np.empty(self.spec.n_words, np.uint32)
        check(lib.ec_batch_store(self._batch, word(member), pointer(words, "uint32_t[]")))
        return words

    def sample(self, rho, seed: int, generation: int, first: int = 0) -> None:
        """Draws row k as member `first + k` of (seed, generation).

        rho: (n_synapses,) uint16 or uint8.
        """
        if rho.shape != (self.spec.n_synapses,) or not rho.flags.c_contiguous:
            raise ValueError(f"rho must be contiguous, of shape ({self.spec.n_synapses},)")
        rho16 = pointer(rho, "uint16_t[]") if rho.dtype == np.uint16 else ffi.NULL
        rho8 = pointer(rho, "uint8_t[]") if rho.dtype == np.uint8 else ffi.NULL
        words = word(seed), word(generation), word(first)
        check(lib.ec_batch_sample(self._batch, rho16, rho8, *words))

    def gradient(self, ranks) -> np.ndarray:
        """Σ w_k θ_k over all members: (population,) int32 that sum to 0 -> (n_synapses,) int32."""
        ranks = contiguous(ranks, np.int32, (self.population,))
        total = np.empty(self.spec.n_synapses, np.int32)
        ends = pointer(ranks, "int32_t[]"), pointer(total, "int32_t[]")
        with self._turn:
            check(lib.ec_batch_gradient(self._batch, *ends))
        return total

    def reset(self, which=None) -> None:
        """Resets the members where `which` (population,) bool is set; None: all."""
        with self._turn:
            check(lib.ec_batch_reset(self._batch, self._mask(which)))

    def step(self, raw, active=None, out: np.ndarray | None = None) -> np.ndarray:
        """One control step of the members where `active` (population,) bool is set; None: all.

        raw: (population, n_obs) int16 -> (population, n_act) int16. Rows of inactive members are
        left as they are in `out`, or 0.
        """
        spec = self.spec
        raw = contiguous(raw, np.int16, (self.population, spec.n_obs))
        shape = self.population, spec.n_act
        if out is None:
            out = np.zeros(shape, np.int16)
        if out.shape != shape or out.dtype != np.int16 or not out.flags.carray:
            raise ValueError(f"out must be a writeable, contiguous int16 array of shape {shape}")
        ends = pointer(raw, "int16_t[]"), self._mask(active), pointer(out, "int16_t[]")
        with self._turn:
            check(lib.ec_batch_step(self._batch, *ends))
        return out

    def act(self, first: int, observations, active, low, high, out: np.ndarray) -> None:
        """One control step, between a task's floats, of the members `first` ... where `active` (M,)
        bool is set: the map's `encode`, `step`, the limits and `decode_action` at once.

        observations: (M, n_obs) float64; low, high: (n_act,) float32; out: (M, n_act) float32 of
        continuous actions, (M,) int64 of discrete ones. Rows of inactive members are neither read
        nor written. All members at once are shared by the batch's own threads; several threads may
        act for parts that do not overlap, but do nothing else meanwhile. PolicyError: an
        observation is not a finite number.
        """
        count, spec = len(observations), self.spec
        observations = contiguous(observations, np.float64, (count, spec.n_obs))
        mask = contiguous(active, np.uint8, (count,))
        discrete = spec.actions == DISCRETE
        shape, dtype = ((count,), np.int64) if discrete else ((count, spec.n_act), np.float32)
        if out.shape != shape or out.dtype != dtype or not out.flags.carray:
            raise ValueError(f"out must be a writeable, contiguous {dtype} array of shape {shape}")
        if discrete:
            bounds, ends = (ffi.NULL, ffi.NULL), (ffi.NULL, pointer(out, "int64_t[]"))
        else:
            bounds = [contiguous(bound, np.float32, (spec.n_act,)) for bound in (low, high)]
            bounds = [pointer(bound, "float[]") for bound in bounds]
            ends = pointer(out, "float[]"), ffi.NULL
        seen = pointer(observations, "double[]"), pointer(mask, "uint8_t[]")
        with self._turn if count == self.population else nullcontext():
            result = lib.ec_batch_act(self._batch, word(first), count, *seen, *bounds, *ends)
        if result == lib.EC_ERR_NOT_FINITE:
            raise PolicyError("An observation is not a finite number.")
        check(result)

    def state(self, member: int) -> bytes:
        """A member's state in the order of the digest."""
        spec = self.spec
        state = ffi.new("uint8_t[]", 2 * spec.n_neurons + spec.n_neurons // 8 + 2 * spec.n_act)
        check(lib.ec_batch_state(self._batch, word(member), state))
        return bytes(ffi.buffer(state))

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far."""
        spikes, substeps = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        check(lib.ec_batch_activity(self._batch, spikes, substeps))
        return spikes[0], substeps[0]

    @property
    def activity(self) -> float:
        """Spikes a neuron and substep, over all steps so far."""
        spikes, substeps = self.counts
        return spikes / max(1, substeps)

    def _mask(self, which):
        """A C pointer to a mask, which it keeps alive, or NULL for all."""
        if which is None:
            return ffi.NULL
        return pointer(contiguous(which, np.uint8, (self.population,)), "uint8_t[]")
