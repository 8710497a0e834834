"""CartPole-v1: keep the pole on a pushed cart upright (Barto, Sutton and Anderson, 1983)."""

import math

import numpy as np

from ..model import DISCRETE
from .native import NativeBatch

GRAVITY = 9.8
MASS_POLE = 0.1
MASS_CART = 1.0
LENGTH = 0.5  # half of the pole's, m
FORCE = 10.0
TAU = 0.02  # s a step
X_LIMIT = 2.4
ANGLE_LIMIT = 12 * 2 * math.pi / 360


class CartPole(NativeBatch):
    """State: x, dx/dt, angle, its rate; m and rad. Reward 1 for every step."""

    id = "CartPole-v1"
    n_obs, n_act, actions = 4, 2, DISCRETE
    max_episode_steps = 500
    varying = "pole_length", "pole_mass", "gain"

    @staticmethod
    def start(random):
        return random.uniform(low=-0.05, high=0.05, size=4)

    @staticmethod
    def move(state, actions, pole_length=1.0, pole_mass=1.0, gain=1.0):
        _, x_dot, theta, theta_dot = state
        length, mass = LENGTH * pole_length, MASS_POLE * pole_mass
        total_mass, moment = mass + MASS_CART, mass * length
        force = np.where(actions == 1, FORCE, -FORCE) * gain
        cos, sin = np.cos(theta), np.sin(theta)
        push = (force + moment * np.square(theta_dot) * sin) / total_mass
        theta_acc = (GRAVITY * sin - cos * push) / (
            length * (4.0 / 3.0 - mass * np.square(cos) / total_mass)
        )
        x_acc = push - moment * theta_acc * cos / total_mass
        state = state + TAU * np.array((x_dot, x_acc, theta_dot, theta_acc))
        terminated = (np.abs(state[0]) > X_LIMIT) | (np.abs(state[2]) > ANGLE_LIMIT)
        return state, np.ones(len(force)), terminated

    @staticmethod
    def observe(state):
        return state.T.astype(np.float32, order="C")
