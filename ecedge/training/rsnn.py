"""The one-bit network's rival of real weights: the same neurons, decays and gains in float32."""

from __future__ import annotations

import numpy as np

from ..model import EXCITATORY_INHIBITORY, OUTPUT_ONE, V_TH
from .cost import Cost
from .real import RealKind


class RealSpiking(RealKind):
    """Excitatory neurons have weights of 0 and more, inhibitory ones of 0 and less; signed ones
    are free. Parameters begin as one-bit synapses do: with their mean and deviation.

        ei      w = max(p, 0), with its group's sign       p ~ N(1/2, 1/4)
        signed  w = p                                      p ~ N(0, 1)
        inputs  w = p · K_in · V_TH · sqrt(2 / n_obs)      p ~ N(0, 1/2), a difference of two bits
    """

    model = "rsnn"

    def start(self, random):
        p = random.standard_normal(self.n_parameters, np.float32)
        n_in = self.spec.n_obs * self.spec.n_neurons
        p[:n_in] *= np.float32(np.sqrt(0.5))
        if self.spec.form == EXCITATORY_INHIBITORY:
            p[n_in:] = 0.5 + 0.5 * p[n_in:]
        return p

    def weights_of(self, parameters):
        spec = self.spec
        weights = parameters.reshape(-1, spec.n_neurons).copy()
        recurrent = weights[spec.n_obs : spec.n_obs + spec.n_neurons]
        outputs = weights[spec.n_obs + spec.n_neurons :]
        weights[: spec.n_obs] *= np.float32(
            self._settings.input_gain * V_TH * np.sqrt(2 / spec.n_obs)
        )
        if spec.form == EXCITATORY_INHIBITORY:
            np.maximum(weights[spec.n_obs :], 0, out=weights[spec.n_obs :])
            recurrent[spec.n_exc :] *= -1
            outputs[:, spec.n_exc :] *= -1
        outputs /= OUTPUT_ONE
        return weights.ravel()

    def cost(self, activity):
        """Inputs and decays multiply; spikes add weights up."""
        spec = self.spec
        inputs = spec.n_obs * spec.n_neurons
        spikes = activity * spec.n_neurons * spec.substeps
        decays = (2 * spec.n_neurons + spec.n_act) * spec.substeps
        additions = inputs + spikes * (spec.n_neurons + spec.n_act)
        return Cost(4 * self.n_parameters, round(additions), spec.n_obs + inputs + decays)
