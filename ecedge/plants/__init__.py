"""Twins of the plants that a device can have on its own side: docs/PLANT.md.

A twin computes on the host what the device's plant does, bit for bit, so that a device-clocked
episode can be proven by its trajectory. It is a class with

    name, task                       what RESULT calls the plant; the task that it is like, or None
    twin = Twin(observation_map)     of the policy that will drive it
    twin.begin(seed)                 to an episode's beginning, at rest
    twin.sense()                     (n_obs,) int16 counts
    twin.apply(outputs)              (n_act,) int: what is applied to it
    twin.judge()                     (reward in 1 / REWARD_ONE, whether the episode has ended)
"""

from .cart_pole import CartPole
from .noise import Noise

PLANTS = {plant.name: plant for plant in (CartPole, Noise)}


def plant_of_task(task: str | None):
    """The plant that is like a task, or None."""
    return next((plant for plant in PLANTS.values() if task and plant.task == task), None)
