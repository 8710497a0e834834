"""Evolving Connectivity (Wang et al., NeurIPS 2023): a search over Bernoulli probabilities.

search = Evolution(spec.n_synapses, population=256, seed=0)
search.ask(networks)              # every member draws its synapses
fitness = ...                     # (P,) any numbers that can be ordered
search.tell(networks, fitness)    # the probabilities move toward the better members

`Strategies` searches real numbers in the same way (Salimans et al., 2017), for comparison.
"""

from .search import Evolution
from .steps import STEPS
from .strategies import Strategies

__all__ = ["STEPS", "Evolution", "Strategies"]
