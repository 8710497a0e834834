"""firmware/plants/cart-pole.c, bit for bit: CartPole-v1 in fixed point, 24 bits of fraction."""

import numpy as np

from ..model import ObservationMap
from ..reference.random import threefry2x32

FRACTION = 24
ONE = 1 << FRACTION

TAU = 335544  # 0.02 s a step
GRAVITY = 164416717  # 9.8 m/s2
PUSH = 152520145  # 10 N on 1.1 kg
POLE = 762601  # 0.1 kg of the pole at 0.5 m, by 1.1 kg
INVERSE = 27007226  # 1 / (0.5 (4/3 - 0.1 / 1.1)): of the pole's inertia, upright;
LEAN = 1227601  # 0.0731707: by how much it is less with the square of the sine
SIXTH, HUNDREDTH = 2796203, 139810  # of the series: 1/6, 1/120,
HALF, FOURTH = 8388608, 699051  # 1/2, 1/24
X_LIMIT = 40265318  # 2.4 m
ANGLE_LIMIT = 3513812  # 12 degrees
START_SPAN, START_LEAST = 1677722, -838861  # starts are within 0.05 of 0
REWARD_ONE = 65536


class CartPole:
    """State: x, dx/dt, angle, its rate; m and rad by 2^-24. Reward 1 for every step."""

    name = "cart-pole"
    task = "CartPole-v1"

    def __init__(self, observation_map: ObservationMap):
        self._exponent = [int(exponent) for exponent in observation_map.exponent]
        self.state = [0, 0, 0, 0]
        self._force = -PUSH

    def begin(self, seed: int) -> None:
        words, _ = threefry2x32((seed, 0), (np.arange(4), 0))
        shares = [int(word) >> (32 - FRACTION) for word in words]
        self.state = [START_LEAST + product(START_SPAN, share) for share in shares]

    def sense(self) -> np.ndarray:
        counts = map(count, self.state, self._exponent)
        return np.array([*counts], np.int16)

    def apply(self, outputs) -> None:
        self._force = PUSH if outputs[1] > outputs[0] else -PUSH

    def judge(self) -> tuple[int, bool]:
        self._move()
        x, _, angle, _ = self.state
        return REWARD_ONE, abs(x) > X_LIMIT or abs(angle) > ANGLE_LIMIT

    def _move(self) -> None:
        x, speed, angle, rate = self.state
        square = product(angle, angle)
        sine = product(angle, ONE - product(square, SIXTH - product(square, HUNDREDTH)))
        cosine = ONE - product(square, HALF - product(square, FOURTH))
        push = self._force + product(POLE, product(product(rate, rate), sine))
        lean = product(LEAN, product(sine, sine))
        inverse = product(INVERSE, ONE - product(lean, ONE - lean))
        turn = product(product(GRAVITY, sine) - product(cosine, push), inverse)
        speed_up = push - product(product(POLE, turn), cosine)
        self.state = [
            x + product(TAU, speed),
            speed + product(TAU, speed_up),
            angle + product(TAU, rate),
            rate + product(TAU, turn),
        ]


def product(a: int, b: int) -> int:
    """Rounded down."""
    return a * b >> FRACTION


def count(value: int, exponent: int) -> int:
    """docs/MODEL.md section 2, of a number with FRACTION bits of fraction."""
    shift = exponent - FRACTION
    exact = value << shift if shift >= 0 else round_even(value, -shift)
    return min(max(exact, -32768), 32767)


def round_even(value: int, shift: int) -> int:
    """value / 2^shift, ties to even."""
    floor, rest = divmod(value, 1 << shift)
    half = 1 << (shift - 1)
    return floor + (rest > half or (rest == half and floor % 2 == 1))
