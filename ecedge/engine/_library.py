"""The C library, loaded once, and the few helpers that every user of it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ToolError
from ..model import NetworkSpec

_LIBRARY = Path(__file__).with_name("_ecedge.so")

try:
    from ._bindings import ffi

    lib = ffi.dlopen(str(_LIBRARY))
except (ImportError, OSError) as error:
    raise ToolError(
        f"ecedge's C library cannot be loaded ({error}).",
        "In a checkout, build it with `make`; otherwise install ecedge again.",
    ) from None


def c_spec(spec: NetworkSpec):
    return ffi.new(
        "ec_spec *",
        {
            "n_obs": spec.n_obs,
            "n_act": spec.n_act,
            "n_neurons": spec.n_neurons,
            "n_exc": spec.n_exc,
            "form": spec.form,
            "substeps": spec.substeps,
            "current_shift": spec.current_shift,
            "membrane_shift": spec.membrane_shift,
            "output_shift": spec.output_shift,
            "recurrent_gain": spec.recurrent_gain,
            "output_gain": spec.output_gain,
            "input_shift": spec.input_shift,
            "actions": spec.actions,
        },
    )


def pointer(array: np.ndarray, ctype: str):
    """A C pointer to a contiguous array, which the pointer keeps alive."""
    return ffi.from_buffer(ctype, array)


def contiguous(array, dtype, shape) -> np.ndarray:
    """The array as C wants it; ValueError if it has another shape."""
    array = np.ascontiguousarray(array, dtype)
    if array.shape != tuple(shape):
        raise ValueError(f"an array has shape {array.shape}, expected {tuple(shape)}")
    return array


def word(value: int) -> int:
    """The value as C's uint32_t takes it; ValueError if it does not fit."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} is not a number from 0 to {(1 << 32) - 1}")
    return int(value)


def check(result: int) -> int:
    if result < 0:
        raise ValueError(f"the C library refused its arguments (error {result})")
    return result
