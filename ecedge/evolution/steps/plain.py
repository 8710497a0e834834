"""The paper's step, α = η·Var[B(ρ)], which turns the natural gradient into Σ w θ itself. Integers
throughout: the one step that devices take as well."""

from ...engine import update_rho
from ...reference import step_size


class Plain:
    def __init__(self, population: int):
        self.population = population

    def update(self, rho, gradient, rate, seed, generation):
        size = step_size(rate, self.population)
        return update_rho(rho, gradient, size, seed, generation)

    def state(self):
        return {}

    def restore(self, state):
        pass
