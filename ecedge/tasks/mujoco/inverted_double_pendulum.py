"""InvertedDoublePendulum-v5: keep two poles, one upon the other, upright on a cart."""

import numpy as np

from .batch import MujocoBatch, rows


class InvertedDoublePendulum(MujocoBatch):
    """10 for every step but the last, less the tip's distance and the joints' speeds, squared."""

    id = "InvertedDoublePendulum-v5"
    fields = ("qpos", "qvel", "site_xpos", "qfrc_constraint")

    def observe(self, data):
        angles = data.qpos[:, 1:]
        force = data.qfrc_constraint.clip(-10, 10)[:, :1]
        speeds = data.qvel.clip(-10, 10)
        return rows(data.qpos[:, :1], np.sin(angles), np.cos(angles), speeds, force)

    def judge(self, data, speed, actions):
        x, _, height = data.site_xpos[:, 0].T
        _, first, second = data.qvel.T
        lost = height <= 1
        away = 0.01 * x**2 + (height - 2) ** 2
        return 10.0 * ~lost - away - (1e-3 * first**2 + 5e-3 * second**2), lost
