"""What running a network takes, whoever trained it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a network costs. `weight_bytes` to keep; a control step's `additions` of weights or
    products, and its `multiplies`. Of a spiking network they follow from its activity, spikes a
    neuron and substep, as measured; additions that a decay or a nonlinearity makes are left out."""

    weight_bytes: int
    additions: int
    multiplies: int
