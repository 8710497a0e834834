"""Swimmer-v5: three links that swim forward (Coulom, 2002)."""

from .batch import MujocoBatch, rows, squares


class Swimmer(MujocoBatch):
    """The speed forward, less a ten-thousandth of the squared torques."""

    id = "Swimmer-v5"

    def observe(self, data):
        return rows(data.qpos[:, 2:], data.qvel)

    def judge(self, data, speed, actions):
        return speed - 1e-4 * squares(actions), False
