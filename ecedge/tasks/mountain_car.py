"""MountainCarContinuous-v0: rock a weak car out of a valley (Moore, 1990)."""

import numpy as np

from ..model import CONTINUOUS
from .native import NativeBatch

POWER = 0.0015
SLOPE = 0.0025
SPEED_LIMIT = 0.07
LEFT_WALL, RIGHT_WALL, GOAL = -1.2, 0.6, 0.45


class MountainCarContinuous(NativeBatch):
    """State: position, speed. 100 at the goal, less a tenth of every squared action.

    The original's state is float64 until the first step and float32 from then on, and a float32
    action draws the acceleration down to float32. Written so that NumPy promotes alike.
    """

    id = "MountainCarContinuous-v0"
    n_obs, n_act, actions = 2, 1, CONTINUOUS
    low, high = (-1.0,), (1.0,)
    max_episode_steps = 999

    @staticmethod
    def start(random):
        return np.array([random.uniform(low=-0.6, high=-0.4), 0.0])

    @staticmethod
    def move(state, actions):
        position, speed = state
        action = np.asarray(actions[:, 0], np.float32)
        weight = SLOPE * np.cos(3 * position, dtype=np.float64)
        speed = speed + (action.clip(-1.0, 1.0) * POWER - weight.astype(np.float32))
        speed = speed.clip(-SPEED_LIMIT, SPEED_LIMIT)
        position = (position + speed).clip(LEFT_WALL, RIGHT_WALL)
        stopped = (position == position.dtype.type(LEFT_WALL)) & (speed < 0)
        speed[stopped] = 0
        terminated = (position >= GOAL) & (speed >= 0)
        rewards = 100.0 * terminated - np.square(action, dtype=np.float64) * 0.1
        return np.array((position, speed), np.float32), rewards, terminated

    @staticmethod
    def observe(state):
        return state.T.astype(np.float32, order="C")
