"""Evolving Connectivity (Wang et al., NeurIPS 2023): a search over Bernoulli probabilities.

search = Evolution(spec.n_synapses, population=256, seed=0)
search.ask(networks)              # every member draws its synapses
fitness = ...                     # (P,) any numbers that can be ordered
search.tell(networks, fitness)    # the probabilities move toward the better members
"""

from .search import Evolution
from .steps import STEPS

__all__ = ["STEPS", "Evolution"]
