"""The compiled bodies of docs/MODEL.md: populations in SIMD, the firmware's core on the host.

The only importer of the C library. Arrays go in and come out as NumPy; no C object leaves.
"""

from .batch import Batch, kernels
from .core import CoreEvolution, CoreNetwork, sample_synapses, threefry2x32, update_rho
from .rivals import Rivals, combine, n_weights, signed_weights

__all__ = [
    "Batch",
    "CoreEvolution",
    "CoreNetwork",
    "Rivals",
    "combine",
    "kernels",
    "n_weights",
    "sample_synapses",
    "signed_weights",
    "threefry2x32",
    "update_rho",
]
