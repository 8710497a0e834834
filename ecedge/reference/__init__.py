"""docs/MODEL.md in NumPy: plain, slow, the definition that every faster body is held to."""

from .evolution import (
    centered_ranks,
    gradient,
    rho_planes,
    softened,
    step_size,
    update_rho,
)
from .network import (
    GOLDEN_STEPS,
    State,
    control_step,
    golden_crc,
    reset,
    state_bytes,
    substeps,
    with_golden_trace,
)
from .random import threefry2x32
from .sampling import deterministic_synapses, sample_synapses

__all__ = [
    "GOLDEN_STEPS",
    "State",
    "centered_ranks",
    "control_step",
    "deterministic_synapses",
    "golden_crc",
    "gradient",
    "reset",
    "rho_planes",
    "sample_synapses",
    "softened",
    "state_bytes",
    "step_size",
    "substeps",
    "threefry2x32",
    "update_rho",
    "with_golden_trace",
]
