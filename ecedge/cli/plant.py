"""The plant that a policy is for, as several verbs find it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UsageError


def plant_of(path: Path, policy, info, task: str | None, endless: bool = False):
    """The task `task`, or else the one that the policy was trained for; its episodes end, unless
    `endless` ones will do.

    policy, info: what `load_policy` gave for `path`. UsageError: no task, or one that does not fit.
    """
    from ..tasks import find_task

    if not (task or info.task):
        raise UsageError(f"{path} does not name its task.", "Name it with --task.")
    plant = find_task(task or info.task)
    if plant.max_episode_steps is None:
        horizon = info.training.get("horizon")
        if isinstance(horizon, int):
            plant = replace(plant, max_episode_steps=horizon)
        elif not endless:
            raise UsageError(f"{plant.id} has no step limit: an episode might never end.")
    spec = policy.spec
    if (plant.n_obs, plant.n_act, plant.actions) != (spec.n_obs, spec.n_act, spec.actions):
        whose = f"The policy was trained for {info.task}; it" if info.task else path
        raise UsageError(f"{whose} does not fit {plant.id}.")
    return plant
