"""Humanoid-v5: walk forward on two legs, with arms (Tassa, Erez and Todorov, 2012)."""

import numpy as np

from .batch import MujocoBatch, inside, rows, squares

ROOT = 6  # degrees of freedom of the free joint


class Humanoid(MujocoBatch):
    """5 for standing up, 1.25 times the speed forward of the centre of mass, less a tenth of the
    squared controls and a little for contact forces, at most 10."""

    id = "Humanoid-v5"
    fields = ("qpos", "qvel", "xipos", "cinert", "cvel", "qfrc_actuator", "ctrl")
    feels_contacts = True

    def position(self, data):
        along = np.einsum(
            "kb,kbj->kj", np.broadcast_to(data.mass, data.xipos.shape[:2]), data.xipos
        )
        return along[:, 0] / data.mass.sum(axis=1)

    def observe(self, data):
        return rows(
            data.qpos[:, 2:],
            data.qvel,
            data.cinert[:, 1:],
            data.cvel[:, 1:],
            data.qfrc_actuator[:, ROOT:],
            data.contacts[:, 1:],
        )

    def judge(self, data, speed, actions):
        healthy = inside(1.0, data.qpos[:, 2], 2.0)
        contact_cost = (5e-7 * squares(data.contacts)).clip(-np.inf, 10.0)
        costs = 0.1 * squares(data.ctrl) + contact_cost
        return 1.25 * speed + healthy * 5.0 - costs, ~healthy
