"""Ant-v5: walk forward on four legs (Schulman et al., 2015)."""

import numpy as np

from .batch import MujocoBatch, rows, squares

TORSO = 1  # body


class Ant(MujocoBatch):
    """1 for the torso's height, the speed forward, less half of the squared torques and 1/2000 of
    the squared contact forces."""

    id = "Ant-v5"
    fields = ("qpos", "qvel", "xpos")
    feels_contacts = True

    def position(self, data):
        return data.xpos[:, TORSO, 0]

    def observe(self, data):
        return rows(data.qpos[:, 2:], data.qvel, data.contacts[:, 1:].clip(-1.0, 1.0))

    def judge(self, data, speed, actions):
        height = data.qpos[:, 2]
        healthy = np.isfinite(rows(data.qpos, data.qvel)).all(axis=1)
        healthy &= (0.2 <= height) & (height <= 1.0)
        costs = 0.5 * squares(actions) + 5e-4 * squares(data.contacts.clip(-1.0, 1.0))
        return speed + healthy * 1.0 - costs, ~healthy
