"""The firmware's core, compiled for the host: the device's own code under a debugger's nose."""

from __future__ import annotations

import numpy as np

from ..errors import PolicyError
from ..model import NetworkSpec, Policy
from ._library import c_spec, check, contiguous, ffi, lib, pointer, word


class CoreNetwork:
    """One network stepped by firmware/core, from the policy image that a device would get.

    Raises PolicyError when the core refuses the image, as a device would.
    """

    def __init__(self, policy: Policy | bytes):
        image = policy if isinstance(policy, bytes) else policy.image
        # Words, because the core maps the image in place and wants it aligned.
        self._image = ffi.new("uint32_t[]", (len(image) + 3) // 4)
        ffi.memmove(self._image, image, len(image))
        self._policy = ffi.new("ec_policy *")
        error = lib.ec_policy_open(self._policy, self._image, len(image))
        if error:
            raise PolicyError(f"The firmware's core refuses this policy image (error {error}).")
        self._spec = self._policy.spec
        size = lib.ec_net_memory(ffi.addressof(self._spec))
        self._memory = ffi.new("uint32_t[]", size // 4)
        self._net = ffi.new("ec_net *")
        check(lib.ec_net_init(self._net, self._policy, self._memory, size))

    def reset(self) -> None:
        lib.ec_net_reset(self._net)

    def step(self, raw) -> np.ndarray:
        """One control step. (n_obs,) int16 -> (n_act,) int16."""
        raw = contiguous(raw, np.int16, (self._spec.n_obs,))
        lib.ec_net_step(self._net, pointer(raw, "int16_t[]"))
        return np.frombuffer(ffi.buffer(self._net.output, 2 * self._spec.n_act), np.int16).copy()

    def run(self, raw) -> np.ndarray:
        """Many control steps. (T, n_obs) int16 -> (T, n_act) int16."""
        return np.stack([self.step(row) for row in raw])

    @property
    def spike_count(self) -> int:
        """Spikes in all substeps of the last control step."""
        return self._net.spike_count

    def digest(self, crc: int = 0) -> int:
        """The running digest, run on over the state as it is now."""
        return lib.ec_net_digest(self._net, crc)

    def state(self) -> bytes:
        """The state in the order of the digest."""
        size = lib.ec_net_state_size(self._net)
        state = ffi.new("uint8_t[]", size)
        check(lib.ec_net_state_read(self._net, 0, state, size))
        return bytes(ffi.buffer(state))

    def golden_crc(self) -> int:
        """What the golden trace comes out as. Resets the network."""
        raw, crc = ffi.new("int16_t[]", self._spec.n_obs), ffi.new("uint32_t *")
        lib.ec_net_golden(self._net, raw, crc)
        return crc[0]


class CoreEvolution:
    """A network that evolves as it does on a device: 8-bit ρ in planes, members made again."""

    def __init__(self, spec: NetworkSpec, seed: int = 0, generation: int = 0, step: int = 0):
        self._n_synapses = spec.n_synapses
        self._memory = ffi.new("ec_rho[]", spec.n_words)
        self._evolve = ffi.new("ec_evolve *")
        check(lib.ec_evolve_init(self._evolve, c_spec(spec), self._memory, spec.n_synapses))
        self._evolve.seed, self._evolve.generation = word(seed), word(generation)
        self._evolve.step = word(step)

    @property
    def rho(self) -> np.ndarray:
        """(n_synapses,) uint8"""
        rho = np.empty(self._n_synapses, np.uint8)
        first = pointer(rho, "uint8_t[]")
        for w in range(self._evolve.n_words):
            lib.ec_rho_unpack(self._memory + w, first + 32 * w)
        return rho

    @rho.setter
    def rho(self, rho) -> None:
        first = pointer(contiguous(rho, np.uint8, (self._n_synapses,)), "uint8_t[]")
        for w in range(self._evolve.n_words):
            lib.ec_rho_pack(self._memory + w, first + 32 * w)

    def planes(self) -> bytes:
        """ρ as a device holds it."""
        return bytes(ffi.buffer(self._memory))

    def sample(self, member: int, words: range | None = None) -> np.ndarray:
        """A member's synapses as its policy image holds them. (len(words),) uint32"""
        words = self._words(words)
        synapses = np.empty(len(words), np.uint32)
        target = pointer(synapses, "uint32_t[]")
        lib.ec_evolve_sample(self._evolve, word(member), words.start, len(words), target)
        return synapses

    def keep(self, count: int) -> None:
        """Draws the first `count` members; until this is called again they are not made again."""
        self._kept = np.array([self.sample(member) for member in range(count)], np.uint32)
        self._evolve.members = pointer(self._kept, "uint32_t[]")
        self._evolve.kept = count

    def gradient(self, ranks) -> np.ndarray:
        """Σ w θ over members, made again or kept. (P,) int32 -> (n_synapses,) int32"""
        ranks = np.ascontiguousarray(ranks, np.int32)
        gradient = np.empty(self._n_synapses, np.int32)
        given, first = pointer(ranks, "int32_t[]"), pointer(gradient, "int32_t[]")
        for w in range(self._evolve.n_words):
            lib.ec_evolve_gradient(self._evolve, w, given, len(ranks), first + 32 * w)
        return gradient

    def update(self, ranks, words: range | None = None) -> None:
        """Moves ρ, of these words alone if some are given. ranks: (P,) int32"""
        ranks, words = np.ascontiguousarray(ranks, np.int32), self._words(words)
        given = pointer(ranks, "int32_t[]")
        lib.ec_evolve_update(self._evolve, words.start, len(words), given, len(ranks))

    def _words(self, words: range | None) -> range:
        every = range(self._evolve.n_words)
        words = every if words is None else words
        if words.step != 1 or (words and (words[0] not in every or words[-1] not in every)):
            raise ValueError(f"{words} is not a range within {every}")
        return words


def threefry2x32(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    pair = lib.ec_random(*map(word, (*key, *counter)))
    return pair.x0, pair.x1


def sample_synapses(rho, seed: int, generation: int, member: int) -> np.ndarray:
    """As `ecedge.reference.sample_synapses`, in C."""
    rho = np.ascontiguousarray(rho)
    if rho.ndim != 1 or len(rho) % 32:
        raise ValueError(f"rho must have 32 values for each word, not shape {rho.shape}")
    first, n_words = pointer(rho, rho_type(rho)), len(rho) // 32
    words = word(seed), word(generation), word(member)
    if rho.dtype == np.uint16:
        rows = (lib.ec_sample_word16(first + 32 * w, *words, w) for w in range(n_words))
        return np.fromiter(rows, np.uint32, n_words)
    planes, synapses = ffi.new("ec_rho[]", n_words), np.empty(n_words, np.uint32)
    for w in range(n_words):
        lib.ec_rho_pack(planes + w, first + 32 * w)
    numbers = {"rho": planes, "n_words": n_words, "seed": words[0], "generation": words[1]}
    evolve = ffi.new("ec_evolve *", numbers)
    lib.ec_evolve_sample(evolve, words[2], 0, n_words, pointer(synapses, "uint32_t[]"))
    return synapses


def update_rho(rho, gradient, step: int, seed: int, generation: int) -> np.ndarray:
    """As `ecedge.reference.update_rho`, in C."""
    rho = np.array(rho, order="C")
    gradient = contiguous(gradient, np.int32, rho.shape)
    first, total = pointer(rho, rho_type(rho)), pointer(gradient, "int32_t[]")
    if rho.dtype == np.uint16:
        lib.ec_update_rho16(first, total, rho.size, word(step))
    else:
        words = word(step), word(seed), word(generation)
        lib.ec_update_rho8(first, total, rho.size, *words, 0)
    return rho


def rho_type(rho: np.ndarray) -> str:
    """C's type of an array of probabilities; ValueError if they are not ρ's."""
    types = {np.dtype(np.uint16): "uint16_t[]", np.dtype(np.uint8): "uint8_t[]"}
    if rho.dtype not in types:
        raise ValueError(f"rho is an array of {rho.dtype}, not of uint16 or uint8")
    return types[rho.dtype]
