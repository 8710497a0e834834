"""Acrobot-v1: swing a two-link arm up by the torque of its elbow (Sutton, 1996)."""

import numpy as np
from numpy import cos, pi, sin

from ..model import DISCRETE
from .native import NativeBatch

GRAVITY = 9.8
DT = 0.2  # s a step
SPEED_LIMITS = np.array([[4 * pi], [9 * pi]])


class Acrobot(NativeBatch):
    """State: two angles and their rates; rad. Reward -1 for every step but the last."""

    id = "Acrobot-v1"
    n_obs, n_act, actions = 6, 3, DISCRETE
    max_episode_steps = 500

    @staticmethod
    def start(random):
        return random.uniform(low=-0.1, high=0.1, size=4).astype(np.float32)

    @staticmethod
    def move(state, actions):
        torque = actions - 1.0
        state = runge_kutta(lambda y: derivative(y, torque), state.astype(np.float64))
        angles, speeds = state[:2], state[2:]
        while (beyond := angles > pi).any():
            angles[beyond] -= 2 * pi
        while (beyond := angles < -pi).any():
            angles[beyond] += 2 * pi
        speeds.clip(-SPEED_LIMITS, SPEED_LIMITS, out=speeds)
        terminated = -cos(angles[0]) - cos(angles[1] + angles[0]) > 1.0
        return state, np.where(terminated, 0.0, -1.0), terminated

    @staticmethod
    def observe(state):
        first, second = state[:2]
        rows = (cos(first), sin(first), cos(second), sin(second), *state[2:])
        return np.array(rows, np.float32).T.copy()


def runge_kutta(derive, y):
    """One classic fourth-order step of DT."""
    k1 = derive(y)
    k2 = derive(y + DT / 2 * k1)
    k3 = derive(y + DT / 2 * k2)
    k4 = derive(y + DT * k3)
    return y + DT / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)


def derivative(state, torque):
    """d(state)/dt, the book's equations (Sutton and Barto, 2018) for masses, lengths and moments of
    1 and centres at 0.5: all powers of two, so leaving them out of the original changes no bit."""
    theta1, theta2, speed1, speed2 = state
    cos2, sin2 = cos(theta2), sin(theta2)
    d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0
    d2 = 0.25 + 0.5 * cos2 + 1.0
    phi2 = 0.5 * GRAVITY * cos(theta1 + theta2 - pi / 2.0)
    phi1 = (
        -0.5 * np.square(speed2) * sin2
        - speed2 * speed1 * sin2
        + 1.5 * GRAVITY * cos(theta1 - pi / 2)
        + phi2
    )
    acceleration2 = (torque + d2 / d1 * phi1 - 0.5 * np.square(speed1) * sin2 - phi2) / (
        1.25 - np.square(d2) / d1
    )
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return np.array((speed1, speed2, acceleration1, acceleration2))
