"""What a training run is: everything that its result follows from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from ..errors import UsageError
from ..model import EXCITATORY_INHIBITORY, SIGNED, NetworkSpec
from ..tasks import Task
from .normaliser import input_scale

MOST_EPISODES = 10_000  # of an evaluation: all run at once
FORMS = {"ei": EXCITATORY_INHIBITORY, "signed": SIGNED}


@dataclass(frozen=True)
class Settings:
    """One run. Episodes of training are at most `first_horizon` steps long at first, and `horizon`
    in the end (see `training.horizon`); None is the task's own limit, and a task that has none
    needs a horizon, which then holds for evaluations too. The learning rate halves every
    `half_life` generations. `target` ends the run when an evaluation's mean return reaches it,
    `steps` when so many plant steps are done. `kind` is one of `kinds.KINDS`. `es_sigma` and
    `es_rate` are for the kinds that evolution strategies train: a member's noise and a step, where
    1 is a parameter's own size."""

    task: str
    seed: int = 0
    generations: int = 200
    population: int = 256
    learning_rate: float = 0.1
    half_life: int | None = None
    step: str = "plain"
    rho_bits: int = 16
    first_horizon: int | None = 100
    horizon: int | None = None
    target: float | None = None
    steps: int | None = None
    neurons: int = 128
    form: str = "ei"
    substeps: int = 16
    current_shift: int = 3
    membrane_shift: int = 3
    output_shift: int = 3
    recurrent_gain: int = 0
    output_gain: int = 7
    input_gain: float = 0.3
    kind: str = "one-bit"
    es_sigma: float = 0.3
    es_rate: float = 0.05
    evaluate_every: int = 10
    evaluation_episodes: int = 100

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and not isinstance(value, int):
                raise UsageError(f"{field.name} is {value}; it is a whole number.")
        for name in ("generations", "evaluate_every", "evaluation_episodes"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it is at least 1.")
        if self.evaluation_episodes > MOST_EPISODES:
            raise UsageError(
                f"evaluation_episodes is {self.evaluation_episodes}; it is at most {MOST_EPISODES}."
            )
        if self.target is not None and not math.isfinite(self.target):
            raise UsageError(f"The target is {self.target}; it is a finite number.")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"A seed is a number from 0 to {(1 << 32) - 1}, not {self.seed}.")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"The run is to do {self.steps} steps; that is at least 1.")
        if self.form not in FORMS:
            raise UsageError(f"There is no form {self.form!r}; there are {', '.join(FORMS)}.")
        if not 0 < self.input_gain <= 10:
            raise UsageError(f"The input gain is {self.input_gain}; it lies between 0 and 10.")
        for name in ("first_horizon", "horizon"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)} steps; it is at least 1.")

    def network(self, task: Task) -> NetworkSpec:
        shift, _ = input_scale(self.input_gain, task.n_obs)
        return NetworkSpec(
            n_obs=task.n_obs,
            n_act=task.n_act,
            n_neurons=self.neurons,
            form=FORMS[self.form],
            substeps=self.substeps,
            current_shift=self.current_shift,
            membrane_shift=self.membrane_shift,
            output_shift=self.output_shift,
            recurrent_gain=self.recurrent_gain,
            output_gain=self.output_gain,
            input_shift=shift,
            actions=task.actions,
        )

    def to_dict(self) -> dict:
        return asdict(self)
