"""HalfCheetah-v5: run forward (Wawrzyński, 2009)."""

from .batch import MujocoBatch, rows, squares


class HalfCheetah(MujocoBatch):
    """The speed forward, less a tenth of the squared torques."""

    id = "HalfCheetah-v5"

    def observe(self, data):
        return rows(data.qpos[:, 1:], data.qvel)

    def judge(self, data, speed, actions):
        return speed - 0.1 * squares(actions), False
