"""How ρ follows the gradient. A step is one file here and one line below.

A step has `update(rho, gradient, seed, generation) -> rho`, and `state()` / `restore(state)` for
what it remembers between generations. gradient: (n_synapses,) int32, Σ w_k θ_k.
"""

from .adam import Adam
from .momentum import Momentum
from .plain import Plain

STEPS = {"plain": Plain, "momentum": Momentum, "adam": Adam}
