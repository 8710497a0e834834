"""Running statistics of observations, frozen into integers before every generation."""

from __future__ import annotations

import math

import numpy as np

from ..model import V_TH, ObservationMap

CLIP = 5.0  # deviations that eight bits of q must hold


class Moments:
    """What every member saw in a generation, each for itself: sums that do not depend on which
    members were run together. Deviations are from `centre` (n_obs,), for their precision."""

    def __init__(self, population: int, centre: np.ndarray):
        self.centre = centre
        self.count = np.zeros(population)
        self.first = np.zeros((population, len(centre)))
        self.second = np.zeros((population, len(centre)))

    def add(self, members: np.ndarray | slice, observations: np.ndarray) -> None:
        """observations: (M, n_obs) float, a row for each of `members`."""
        deviation = observations - self.centre
        self.count[members] += 1
        self.first[members] += deviation
        deviation *= deviation
        self.second[members] += deviation

    def put(self, members: slice, part: Moments) -> None:
        """What these members saw, run by themselves."""
        self.count[members] = part.count
        self.first[members] = part.first
        self.second[members] = part.second

    def total(self) -> Moments:
        """The sums over all members, in their order, as if one had seen it all."""
        total = Moments(1, self.centre)
        total.count[0] = self.count.sum()
        total.first[0] = self.first.sum(axis=0)
        total.second[0] = self.second.sum(axis=0)
        return total


class Normaliser:
    """Mean and variance of every channel over all observations so far (Chan et al., 1979)."""

    def __init__(self, n_obs: int):
        self.count = 0.0
        self.mean = np.zeros(n_obs)
        self.squares = np.zeros(n_obs)  # Σ (obs - mean)²

    def add(self, moments: Moments) -> None:
        count = moments.count.sum()
        if count == 0:
            return
        offset = moments.first.sum(axis=0) / count
        squares = moments.second.sum(axis=0) - offset * offset * count
        shift = moments.centre + offset - self.mean
        total = self.count + count
        self.squares += np.maximum(squares, 0.0)
        self.squares += shift * shift * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def deviation(self) -> np.ndarray:
        """Standard deviations (n_obs,), 1 to begin with."""
        if self.count < 2:
            return np.ones_like(self.mean)
        return np.sqrt(self.squares / self.count)

    def freeze(self, gain: float) -> ObservationMap:
        """The integer map; `gain` is q units a standard deviation."""
        return ObservationMap.from_statistics(self.mean, self.deviation(), gain)

    def state(self) -> dict[str, np.ndarray]:
        return {
            "normaliser_count": np.array(self.count),
            "normaliser_mean": self.mean,
            "normaliser_squares": self.squares,
        }

    def restore(self, state) -> None:
        self.count = float(state["normaliser_count"])
        self.mean = np.array(state["normaliser_mean"])
        self.squares = np.array(state["normaliser_squares"])


def input_scale(input_gain: float, n_obs: int) -> tuple[int, float]:
    """The spec's input shift and the map's gain for the paper's K_in.

    One deviation of one observation drives a neuron with K_in · V_TH · sqrt(2 / n_obs). The shift
    keeps as many fractional bits in q as leave room for CLIP deviations.
    """
    drive = input_gain * V_TH * math.sqrt(2 / n_obs)
    shift = min(7, max(0, math.floor(math.log2(127 / CLIP / drive))))
    return shift, drive * 2**shift
