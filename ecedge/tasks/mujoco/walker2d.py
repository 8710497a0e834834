"""Walker2d-v5: walk forward on two legs (Erez, Tassa and Todorov, 2011)."""

from .batch import MujocoBatch, inside, rows, squares


class Walker2d(MujocoBatch):
    """1 for standing up, the speed forward, less a thousandth of the squared torques."""

    id = "Walker2d-v5"

    def observe(self, data):
        return rows(data.qpos[:, 1:], data.qvel.clip(-10, 10))

    def judge(self, data, speed, actions):
        healthy = inside(0.8, data.qpos[:, 1], 2.0) & inside(-1.0, data.qpos[:, 2], 1.0)
        return speed + healthy * 1.0 - 1e-3 * squares(actions), ~healthy
