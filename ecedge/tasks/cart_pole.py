"""CartPole-v1: keep the pole on a pushed cart upright (Barto, Sutton and Anderson, 1983)."""

import math

import numpy as np

from ..model import DISCRETE
from .native import NativeBatch

GRAVITY = 9.8
MASS_POLE = 0.1
TOTAL_MASS = MASS_POLE + 1.0
LENGTH = 0.5  # half of the pole's, m
POLE_MOMENT = MASS_POLE * LENGTH
FORCE = 10.0
TAU = 0.02  # s a step
X_LIMIT = 2.4
ANGLE_LIMIT = 12 * 2 * math.pi / 360


class CartPole(NativeBatch):
    """State: x, dx/dt, angle, its rate; m and rad. Reward 1 for every step."""

    id = "CartPole-v1"
    n_obs, n_act, actions = 4, 2, DISCRETE
    max_episode_steps = 500

    @staticmethod
    def start(random):
        return random.uniform(low=-0.05, high=0.05, size=4)

    @staticmethod
    def move(state, actions):
        _, x_dot, theta, theta_dot = state
        force = np.where(actions == 1, FORCE, -FORCE)
        cos, sin = np.cos(theta), np.sin(theta)
        push = (force + POLE_MOMENT * np.square(theta_dot) * sin) / TOTAL_MASS
        theta_acc = (GRAVITY * sin - cos * push) / (
            LENGTH * (4.0 / 3.0 - MASS_POLE * np.square(cos) / TOTAL_MASS)
        )
        x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
        state = state + TAU * np.array((x_dot, x_acc, theta_dot, theta_acc))
        terminated = (np.abs(state[0]) > X_LIMIT) | (np.abs(state[2]) > ANGLE_LIMIT)
        return state, np.ones(len(force)), terminated

    @staticmethod
    def observe(state):
        return state.T.astype(np.float32, order="C")
