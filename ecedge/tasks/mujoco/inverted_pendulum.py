"""InvertedPendulum-v5: keep a pole on a cart upright."""

import numpy as np

from .batch import MujocoBatch, rows


class InvertedPendulum(MujocoBatch):
    """1 for every step but the last."""

    id = "InvertedPendulum-v5"

    def observe(self, data):
        return rows(data.qpos, data.qvel)

    def judge(self, data, speed, actions):
        lost = ~np.isfinite(self.observe(data)).all(axis=1) | (np.abs(data.qpos[:, 1]) > 0.2)
        return np.where(lost, 0.0, 1.0), lost
