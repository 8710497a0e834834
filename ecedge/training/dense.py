"""Rivals that do not spike: the paper's GRU and LSTM, `neurons` units each, and the MLP that other
toolkits put on a chip, two layers of `neurons`."""

from __future__ import annotations

import numpy as np

from .cost import Cost
from .real import RealKind


class Dense(RealKind):
    """w = p / sqrt(fan-in), p ~ N(0, 1); biases begin at 0. Inputs, and the state or the first
    layer, each have a fan-in of their own."""

    gates: int  # columns of weights a unit
    products: int  # of a unit itself, once its sums are there

    def __init__(self, settings, task):
        super().__init__(settings, task)
        n, n_obs, n_act = self.spec.n_neurons, self.spec.n_obs, self.spec.n_act
        columns = self.gates * n
        n_biases = self.n_parameters - (n_obs + n) * columns - (n + 1) * n_act
        parts = [
            (n_obs * columns, n_obs, 1),
            (n * columns, n, 1),
            (n_biases, n, 0),
            (n * n_act, n, 1),
            (n_act, n, 0),
        ]
        sizes = [size for size, _, _ in parts]
        self._scale = np.repeat([fan_in**-0.5 for _, fan_in, _ in parts], sizes).astype(np.float32)
        self._begin = np.repeat([begin for _, _, begin in parts], sizes).astype(np.float32)

    def start(self, random):
        return self._begin * random.standard_normal(self.n_parameters, np.float32)

    def weights_of(self, parameters):
        return parameters * self._scale

    def cost(self, activity):
        """A product and an addition for every weight that is no bias."""
        spec = self.spec
        n = spec.n_neurons
        products = self.gates * n * (spec.n_obs + n) + n * spec.n_act
        return Cost(4 * self.n_parameters, products, spec.n_obs + products + self.products * n)


class Gru(Dense):
    model, gates, products = "gru", 3, 3


class Lstm(Dense):
    model, gates, products = "lstm", 4, 3


class Mlp(Dense):
    model, gates, products = "mlp", 1, 0
