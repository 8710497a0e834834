"""The paper's step, α = η·Var[B(ρ)], which turns the natural gradient into Σ w θ itself. Integers
throughout: the one step that devices take as well."""

from ...engine import update_rho
from ...reference import step_size


class Plain:
    def __init__(self, population: int, learning_rate: float):
        self.size = step_size(learning_rate, population)

    def update(self, rho, gradient, seed, generation):
        return update_rho(rho, gradient, self.size, seed, generation)

    def state(self):
        return {}

    def restore(self, state):
        pass
