"""Hopper-v5: hop forward on one leg (Erez, Tassa and Todorov, 2011)."""

import numpy as np

from .batch import MujocoBatch, inside, rows, squares


class Hopper(MujocoBatch):
    """1 for standing up, the speed forward, less a thousandth of the squared torques."""

    id = "Hopper-v5"

    def observe(self, data):
        return rows(data.qpos[:, 1:], data.qvel.clip(-10, 10))

    def judge(self, data, speed, actions):
        state = rows(data.qpos[:, 2:], data.qvel)
        healthy = inside(-100.0, state, 100.0).all(axis=1)
        healthy &= (data.qpos[:, 1] > 0.7) & inside(-0.2, data.qpos[:, 2], 0.2)
        healthy &= data.qpos[:, 1] < np.inf
        return speed + healthy * 1.0 - 1e-3 * squares(actions), ~healthy
