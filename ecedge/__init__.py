"""ecedge: train one-bit spiking controllers by evolution, run them bit for bit on microcontrollers.

ecedge.model        the network's shape, its observation map, its bits and its image
ecedge.reference    the arithmetic in NumPy, the definition (docs/MODEL.md)
ecedge.engine       the same arithmetic in C: populations in SIMD, the firmware's core
ecedge.tasks        plants to learn on
ecedge.evolution    ask and tell
ecedge.training     runs that are saved, resumed and never lost
ecedge.policy_file  policy.onnx
ecedge.export       C projects
ecedge.boards       boards, compilers, emulators
ecedge.link         the wire to a device
ecedge.hil          a device in the loop, held to its host twin
"""

from .version import VERSION as __version__

__all__ = ["__version__"]
