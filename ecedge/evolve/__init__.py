"""Evolution on a device, in lock step with its twin on the host: docs/EVOLVE.md."""

from .lineage import Lineage, replay
from .lockstep import Lockstep, Origin
from .run import Generation, Plan, Run, policy_from_scratch

__all__ = [
    "Generation",
    "Lineage",
    "Lockstep",
    "Origin",
    "Plan",
    "Run",
    "policy_from_scratch",
    "replay",
]
