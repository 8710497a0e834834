"""Tasks: plants to learn on and to be judged by, batched over a whole population.

`find_task("CartPole-v1")` is the way in. The plants of `NATIVE` are NumPy batches that give the
observations, rewards and ends of gymnasium's own classes; every other gymnasium id, a user's own
``module:EnvId`` included, runs through gymnasium's vector API.
"""

from __future__ import annotations

from .acrobot import Acrobot
from .cart_pole import CartPole
from .mountain_car import MountainCarContinuous
from .native import NativeBatch
from .pendulum import Pendulum
from .task import Batch, Task

NATIVE: dict[str, type[NativeBatch]] = {
    plant.id: plant for plant in (Acrobot, CartPole, MountainCarContinuous, Pendulum)
}


def find_task(task_id: str) -> Task:
    """The task of a gymnasium id. TaskError: unknown, not installed, or with unsupported spaces."""
    if task_id in NATIVE:
        return NATIVE[task_id].task()
    from .vector import describe

    task = describe(task_id, known=NATIVE)
    return NATIVE[task.id].task() if task.id in NATIVE else task


__all__ = ["NATIVE", "Batch", "Task", "find_task"]
