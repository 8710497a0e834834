"""Reacher-v5: bring the tip of a two-link arm to a target."""

import numpy as np

from .batch import MujocoBatch, rows, squares


class Reacher(MujocoBatch):
    """Less the distance from the target, less the squared torques."""

    id = "Reacher-v5"
    fields = ("qpos", "qvel", "xpos")

    def __init__(self, task, population):
        super().__init__(task, population)
        self._tip, self._target = (self.model.body(name).id for name in ("fingertip", "target"))

    def observe(self, data):
        angles = data.qpos[:, :2]
        away = self._away(data)[:, :2]
        return rows(np.cos(angles), np.sin(angles), data.qpos[:, 2:], data.qvel[:, :2], away)

    def judge(self, data, speed, actions):
        away = self._away(data)
        # The norm of one vector is a dot product in NumPy, and so rounds otherwise than of many.
        distances = np.sqrt([np.dot(row, row) for row in away])
        return -distances - squares(actions), False

    def _away(self, data):
        return data.xpos[:, self._tip] - data.xpos[:, self._target]
