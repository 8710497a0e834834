"""Evolution on a device, in lock step with its twin on the host: docs/EVOLVE.md."""

from .clocked import practise
from .lineage import Lineage, is_lineage, replay
from .lockstep import Lockstep, Origin
from .run import LINEAGE, PLAN, Generation, Plan, Run, policy_from_scratch, read_plan

__all__ = [
    "LINEAGE",
    "PLAN",
    "Generation",
    "Lineage",
    "Lockstep",
    "Origin",
    "Plan",
    "Run",
    "is_lineage",
    "policy_from_scratch",
    "practise",
    "read_plan",
    "replay",
]
