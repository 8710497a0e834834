"""Tasks: plants to learn on and to be judged by, batched over a whole population.

`find_task("CartPole-v1")` is the way in. The NumPy plants of `NATIVE` give the observations,
rewards and ends of gymnasium's own classes, and so do those of `ecedge.tasks.mujoco`; every other
gymnasium id, a user's own ``module:EnvId`` included, runs through gymnasium's vector API.
`find_task("hopper.toml")` is a task whose plant varies from episode to episode: docs/TASKS.md.
"""

from __future__ import annotations

from pathlib import Path

from .physics import Physics
from .stock import NATIVE, stock_task
from .task import Batch, Task
from .variation import Change, Variation


def find_task(name: str) -> Task:
    """The task of a gymnasium id, of a TOML file that ends in ``.toml``, or of the JSON text that
    is a task's `declaration`. TaskError: unknown, not installed, unsupported, or ill declared."""
    if name.startswith("{"):
        from .declaration import read_json

        return read_json(name)
    if name.endswith(".toml"):
        from .declaration import read_file

        return read_file(Path(name))
    return stock_task(name)


__all__ = ["NATIVE", "Batch", "Change", "Physics", "Task", "Variation", "find_task"]
