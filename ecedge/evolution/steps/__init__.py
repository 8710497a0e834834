"""How ρ follows the gradient. A step is one file here and one line below.

A step has `update(rho, gradient, rate, seed, generation) -> rho`, and `state()` / `restore(state)`
for what it remembers between generations. gradient: (n_synapses,) int32, Σ w_k θ_k; rate: this
generation's learning rate, the deviation that a plain step has at ρ = 1/2 for random fitness.
"""

from .adam import Adam
from .momentum import Momentum
from .plain import Plain
from .scaled import Scaled
from .sign import Sign

STEPS = {"plain": Plain, "momentum": Momentum, "adam": Adam, "scaled": Scaled, "sign": Sign}
