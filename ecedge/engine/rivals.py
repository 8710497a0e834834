"""Populations of networks that no device runs: host/batch/ec_rivals.h says what they compute."""

from __future__ import annotations

import os
import threading

import numpy as np

from ..errors import ToolError
from ..model import EXCITATORY_INHIBITORY, NetworkSpec
from ._library import c_spec, check, contiguous, ffi, lib, pointer, word

#: model: (its number in C, the dtype of its weights)
MODELS = {
    "rsnn": (lib.EC_RIVAL_RSNN, np.float32),
    "gru": (lib.EC_RIVAL_GRU, np.float32),
    "lstm": (lib.EC_RIVAL_LSTM, np.float32),
    "mlp": (lib.EC_RIVAL_MLP, np.float32),
    "float64": (lib.EC_RIVAL_FLOAT64, np.int8),
    "int16": (lib.EC_RIVAL_INT16, np.int8),
}


class Rivals:
    """`population` networks of one model and shape, each with its own weights and state.

    The results do not depend on `threads` or `kernel`, whose defaults are `Batch`'s. `n_weights` is
    the number of a member's weights, of `dtype`; `fraction` the bits of int16 behind the point.
    """

    def __init__(
        self,
        model: str,
        spec: NetworkSpec,
        population: int,
        threads: int | None = None,
        kernel: str | None = None,
        fraction: int = 0,
    ):
        number, dtype = MODELS[model]
        self.model = model
        self.spec = spec
        self.population = population
        self.dtype = np.dtype(dtype)
        self.n_weights = n_weights(model, spec)
        if threads is None:
            threads = len(os.sched_getaffinity(0))
        name = kernel.encode() if kernel else ffi.NULL
        shape = c_spec(spec)
        try:
            rivals = lib.ec_rivals_create(shape, number, fraction, population, threads, name)
        except OverflowError:  # a number that C has no room for
            rivals = ffi.NULL
        if rivals == ffi.NULL:
            raise ToolError(
                f"{population} networks of the model {model} on {threads} threads could not be "
                "made.",
                "Memory may be short: try a smaller population.",
            )
        self._rivals = ffi.gc(rivals, lib.ec_rivals_destroy)
        self._turn = threading.Lock()

    def load(self, member: int, weights) -> None:
        """Gives a member its weights (n_weights,). Threads may do so at once."""
        weights = contiguous(weights, self.dtype, (self.n_weights,))
        check(lib.ec_rivals_load(self._rivals, word(member), ffi.from_buffer(weights)))

    def reset(self) -> None:
        with self._turn:
            check(lib.ec_rivals_reset(self._rivals))

    def step_part(self, first: int, inputs, active, out: np.ndarray) -> None:
        """One control step of members `first` ... where `active` (M,) bool is set.

        inputs: (M, n_obs) float64; out: (M, n_act) float64, rows of inactive members untouched.
        All members at once are shared by the batch's own threads; several threads may step parts
        that do not overlap, but do nothing else meanwhile.
        """
        count, spec = len(inputs), self.spec
        inputs = contiguous(inputs, np.float64, (count, spec.n_obs))
        mask = contiguous(active, np.uint8, (count,))
        if out.shape != (count, spec.n_act) or out.dtype != np.float64 or not out.flags.carray:
            raise ValueError(f"out must be a writeable, contiguous float64 array of {count} rows")
        ends = pointer(inputs, "double[]"), pointer(mask, "uint8_t[]"), pointer(out, "double[]")
        if count == self.population and first == 0:
            with self._turn:
                check(lib.ec_rivals_step(self._rivals, *ends))
        else:
            check(lib.ec_rivals_step_part(self._rivals, word(first), count, *ends))

    def state(self, member: int) -> np.ndarray:
        """(2, N) float64: c and v of a spiking model, h and c of others."""
        state = np.empty((2, self.spec.n_neurons))
        check(lib.ec_rivals_state(self._rivals, word(member), pointer(state, "double[]")))
        return state

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far; nothing where none spike."""
        spikes, substeps = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        check(lib.ec_rivals_activity(self._rivals, spikes, substeps))
        return spikes[0], substeps[0]


def n_weights(model: str, spec: NetworkSpec) -> int:
    number, dtype = MODELS[model]
    return lib.ec_rivals_weight_bytes(c_spec(spec), number) // np.dtype(dtype).itemsize


def signed_weights(spec: NetworkSpec, synapses) -> np.ndarray:
    """One-bit synapses (n_words,) uint32 as what they add: (n_weights,) int8 of -1, 0, 1, for
    float64 and int16."""
    words = contiguous(np.ravel(synapses), "<u4", (spec.n_words,))
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    bits = bits.reshape(spec.n_rows, spec.n_neurons).view(np.int8)
    inputs = bits[: spec.n_obs] - bits[spec.n_obs : 2 * spec.n_obs]
    rest = bits[2 * spec.n_obs :]
    if spec.form == EXCITATORY_INHIBITORY:
        rest = rest.copy()
        rest[spec.n_exc : spec.n_neurons] *= -1  # presynaptic neurons are rows of W_rec,
        rest[spec.n_neurons :, spec.n_exc :] *= -1  # and columns of W_out
    else:
        rest = 2 * rest - 1
    return np.concatenate([inputs, rest], dtype=np.int8).ravel()


def combine(noise: np.ndarray, factors) -> np.ndarray:
    """Σ factor_k noise_k in the order of k: (P, n) float32 and (P,) -> (n,) float64."""
    rows, columns = noise.shape
    noise = contiguous(noise, np.float32, (rows, columns))
    factors = contiguous(factors, np.float64, (rows,))
    total = np.empty(columns)
    ends = pointer(noise, "float[]"), pointer(factors, "double[]")
    check(lib.ec_rivals_combine(*ends, rows, columns, pointer(total, "double[]")))
    return total
