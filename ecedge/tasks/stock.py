"""The task of a gymnasium id, whoever computes its plant."""

from __future__ import annotations

from dataclasses import replace

from ..errors import TaskError
from .acrobot import Acrobot
from .cart_pole import CartPole
from .mountain_car import MountainCarContinuous
from .native import NativeBatch
from .pendulum import Pendulum
from .task import Task

NATIVE: dict[str, type[NativeBatch]] = {
    plant.id: plant for plant in (Acrobot, CartPole, MountainCarContinuous, Pendulum)
}


def stock_task(task_id: str) -> Task:
    """TaskError: unknown, not installed, or with unsupported spaces."""
    if task_id in NATIVE:
        return NATIVE[task_id].task()
    from .vector import describe, is_mujoco

    task = describe(task_id, known=NATIVE)
    if task.id in NATIVE:
        return NATIVE[task.id].task()
    plant = mujoco_plants().get(task.id) if is_mujoco(task.id) else None
    return replace(task, batch=plant, parallel=True) if plant else task


def mujoco_plants() -> dict:
    try:
        from .mujoco import PLANTS
    except ImportError as error:
        raise TaskError(
            f"MuJoCo's batches cannot be loaded: {error}.",
            "They need mujoco 4.0 or newer: pip install 'ecedge[mujoco]'",
        ) from error
    return PLANTS
