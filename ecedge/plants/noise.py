"""firmware/plants/noise.c, bit for bit: counts by chance, for a policy of any shape."""

import numpy as np

from ..model import ObservationMap
from ..reference.random import threefry2x32

EXTREMES = 64  # one count of so many is the least there is, and one the most


class Noise:
    """Counts that follow from seed, step and channel alone. No reward, no end."""

    name = "noise"
    task = None

    def __init__(self, observation_map: ObservationMap):
        self._channels = np.arange(len(observation_map.exponent))
        self._seed = self._step = 0

    def begin(self, seed: int) -> None:
        self._seed, self._step = seed, 0

    def sense(self) -> np.ndarray:
        x0, x1 = threefry2x32((self._seed, 0), (self._channels, self._step))
        values = ((x0 >> 16).astype(np.int32) - 32768) >> (x0 % 16).astype(np.int32)
        chance = x1 % EXTREMES
        values[chance == 0], values[chance == 1] = -32768, 32767
        return values.astype(np.int16)

    def apply(self, outputs) -> None:
        pass

    def judge(self) -> tuple[int, bool]:
        self._step += 1
        return 0, False
