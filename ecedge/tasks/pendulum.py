"""Pendulum-v1: swing a torque-limited pendulum up and hold it."""

import numpy as np

from ..model import CONTINUOUS
from .native import NativeBatch

GRAVITY = 10.0
TORQUE_LIMIT = 2.0
SPEED_LIMIT = 8.0
DT = 0.05  # s a step


class Pendulum(NativeBatch):
    """State: angle from upright, its rate; rad. The cost is angle, rate and torque, squared.

    The original squares by the C library's pow, which on some values is one unit in the last place
    off; squares here are exact. So rewards agree within 1e-9, the float32 grain of the torque cost,
    and observations to the bit.
    """

    id = "Pendulum-v1"
    n_obs, n_act, actions = 3, 1, CONTINUOUS
    low, high = (-TORQUE_LIMIT,), (TORQUE_LIMIT,)
    max_episode_steps = 200
    varying = "length", "mass", "gain"

    @staticmethod
    def start(random):
        reach = np.array([np.pi, 1.0])
        return random.uniform(low=-reach, high=reach)

    @staticmethod
    def move(state, actions, length=1.0, mass=1.0, gain=1.0):
        theta, speed = state
        torque = actions[:, 0].clip(-TORQUE_LIMIT, TORQUE_LIMIT)  # stays float32 in the cost
        angle = (theta + np.pi) % (2 * np.pi) - np.pi
        costs = angle**2 + 0.1 * speed**2 + 0.001 * torque**2
        pull = 3 * GRAVITY / 2 / length * np.sin(theta)
        push = (3.0 * gain / (mass * length**2) * torque).astype(torque.dtype)
        speed = speed + (pull + push) * DT
        speed = speed.clip(-SPEED_LIMIT, SPEED_LIMIT)
        never = np.zeros(len(torque), bool)
        return np.array((theta + speed * DT, speed)), -costs, never

    @staticmethod
    def observe(state):
        theta, speed = state
        return np.array((np.cos(theta), np.sin(theta), speed), np.float32).T.copy()
