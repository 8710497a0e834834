"""How a MuJoCo task's physics is computed while training."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .values import choice, keep, number, table


@dataclass(frozen=True)
class Physics:
    """Overrides of MuJoCo's mjOption, named as in MJCF's <option>; None leaves the model's own."""

    integrator: str | None = None
    solver: str | None = None
    cone: str | None = None
    jacobian: str | None = None
    iterations: int | None = None
    ls_iterations: int | None = None
    noslip_iterations: int | None = None
    tolerance: float | None = None
    ls_tolerance: float | None = None
    impratio: float | None = None

    #: in the order of MuJoCo's enumerations
    CHOICES = {
        "integrator": ("Euler", "RK4", "implicit", "implicitfast"),
        "solver": ("PGS", "CG", "Newton"),
        "cone": ("pyramidal", "elliptic"),
        "jacobian": ("dense", "sparse", "auto"),
    }
    COUNTS = {
        "iterations": (1, 1000),
        "ls_iterations": (1, 1000),
        "noslip_iterations": (0, 1000),
    }
    NUMBERS = {"tolerance": (0.0, 1.0), "ls_tolerance": (0.0, 1.0), "impratio": (1e-3, 1e3)}

    def __post_init__(self):
        for name, value in self.to_dict().items():
            key = f"physics.{name}"
            if name in self.CHOICES:
                choice(value, key, self.CHOICES[name])
            elif name in self.COUNTS:
                number(value, key, *self.COUNTS[name])
            else:
                keep(self, **{name: number(value, key, *self.NUMBERS[name])})

    @classmethod
    def from_dict(cls, given) -> Physics:
        return cls(**table(given, "physics", [field.name for field in fields(cls)]))

    def to_dict(self) -> dict:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    def apply(self, option) -> None:
        """Writes an mjOption."""
        for name, value in self.to_dict().items():
            choices = self.CHOICES.get(name)
            setattr(option, name, choices.index(value) if choices else value)
