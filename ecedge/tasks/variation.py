"""How a plant varies from episode to episode, and how its physics is computed while training.

All that varies follows from an episode's seed: the members of a generation, which share one, meet
the same plant. Every key draws from a stream of its own, so none disturbs another's draws.
docs/TASKS.md tells the keys and their units.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

import numpy as np

from ..errors import TaskError

STREAM = 0x76617279  # "vary": apart from gymnasium's draws, which take the bare seed
FACTORS = 1e-3, 1e3
AMOUNTS = -1e6, 1e6
DEVIATIONS = 0.0, 1e6
DELAYS = 0, 100
FRAMES = 1, 100
PER = "model", "element"


def stream(seed: int, key: str) -> np.random.Generator:
    """What `key` draws from in the episode of `seed`."""
    words = np.random.SeedSequence(seed, spawn_key=(STREAM, zlib.crc32(key.encode())))
    return np.random.default_rng(words)


@dataclass(frozen=True)
class Change:
    """One quantity of a MuJoCo model, drawn evenly from low to high: a factor if `how` is "scale",
    what is added if it is "add". `per` "model" draws once for the whole model, "element" once for
    every body, geom, joint or actuator. `name`: of `ecedge.tasks.mujoco.fields`."""

    name: str
    how: str
    low: float
    high: float
    per: str = "model"

    def __post_init__(self):
        key = self.key
        if self.how not in ("scale", "add"):
            raise TaskError(f'{key} has the key {self.how!r}; it takes "scale" or "add".')
        bounds = FACTORS if self.how == "scale" else AMOUNTS
        ends = interval([self.low, self.high], f"{key}.{self.how}", *bounds)
        keep(self, low=ends[0], high=ends[1], per=choice(self.per, f"{key}.per", PER))

    @property
    def key(self) -> str:
        return key_of(self.name)

    @classmethod
    def from_table(cls, name: str, value) -> Change:
        key = key_of(name)
        given = table(value, key, ("scale", "add", "per"))
        if len(given.keys() & {"scale", "add"}) != 1:
            raise TaskError(
                f"{key} is {shown(value)}; it takes one of scale and add, "
                "such as { scale = [0.8, 1.2] }."
            )
        how = "scale" if "scale" in given else "add"
        bounds = FACTORS if how == "scale" else AMOUNTS
        return cls(
            name, how, *interval(given[how], f"{key}.{how}", *bounds), given.get("per", "model")
        )

    def to_dict(self) -> dict:
        per = {} if self.per == "model" else {"per": self.per}
        return {self.how: [self.low, self.high], **per}

    def draw(self, seed: int, elements: int) -> np.ndarray:
        """(elements,) float64; all equal unless drawn for each."""
        count = elements if self.per == "element" else 1
        drawn = self.low + (self.high - self.low) * stream(seed, self.name).random(count)
        return np.broadcast_to(drawn, elements)


@dataclass(frozen=True)
class Variation:
    """What differs between episodes.

    sensor_noise: deviation of a normal draw that is added to every observation; sensor_bias: of one
    that is drawn once an episode; both in the channel's own unit, one for all channels or one for
    each; () is none. action_delay: control steps, least and most. control_rate: frames (mj_step) in
    a control step, least and most; None is the stock plant's.
    """

    changes: tuple[Change, ...] = ()
    sensor_noise: tuple[float, ...] = ()
    sensor_bias: tuple[float, ...] = ()
    action_delay: tuple[int, int] = (0, 0)
    control_rate: tuple[int, int] | None = None

    #: table of the field's name -> its only key
    SIGNALS = {
        "sensor_noise": "deviation",
        "sensor_bias": "deviation",
        "action_delay": "steps",
        "control_rate": "frames",
    }

    def __post_init__(self):
        keep(
            self,
            changes=tuple(sorted(self.changes, key=lambda change: change.name)),
            sensor_noise=deviations(self.sensor_noise, "vary.sensor_noise.deviation"),
            sensor_bias=deviations(self.sensor_bias, "vary.sensor_bias.deviation"),
            action_delay=interval(self.action_delay, "vary.action_delay.steps", *DELAYS),
        )
        if self.control_rate is not None:
            frames = interval(self.control_rate, "vary.control_rate.frames", *FRAMES)
            keep(self, control_rate=frames)

    @classmethod
    def from_dict(cls, given) -> Variation:
        """From the table [vary]; whether a model has the quantities is its plant's to say."""
        changes, values = [], {}
        for name, value in table(given, "vary").items():
            if inner := cls.SIGNALS.get(name):
                values[name] = only(value, f"vary.{name}", inner)
            else:
                changes.append(Change.from_table(name, value))
        return cls(tuple(changes), **values)

    def to_dict(self) -> dict:
        """What `from_dict` takes; only plain JSON, only what is not as it is by default."""
        signals = {
            name: {inner: list(getattr(self, name))}
            for name, inner in self.SIGNALS.items()
            if getattr(self, name) != getattr(type(self), name)
        }
        return {change.name: change.to_dict() for change in self.changes} | signals

    @property
    def disturbs(self) -> bool:
        """Whether sensors or actions are on the way, apart from the plant."""
        return any(self.sensor_noise) or any(self.sensor_bias) or self.action_delay[1] > 0


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


# --- values of a table: what was wrong, what is allowed -----------------------------------------


def table(value, key: str, known: Collection[str] = ()) -> Mapping:
    """`value` if it is a table, and of `known` keys alone where any are given."""
    if not isinstance(value, Mapping):
        raise TaskError(f"{key} is {shown(value)}; it is a table.")
    if known and (unknown := [name for name in value if name not in known]):
        raise TaskError(
            f"{key} has the unknown key {shown(unknown[0])}.", advice(unknown[0], known)
        )
    return value


def only(value, key: str, inner: str):
    """The one entry of a table that holds nothing else."""
    if inner not in table(value, key, (inner,)):
        raise TaskError(f"{key} lacks the key {inner}.")
    return value[inner]


def interval(value, key: str, least, most) -> tuple:
    """(low, high) of a list of two, or of one number for both."""
    if not isinstance(value, (list, tuple)):
        return (number(value, key, least, most),) * 2
    if len(value) != 2:
        raise TaskError(f"{key} is {shown(value)}; it is [low, high], or one number for both.")
    low, high = (number(end, key, least, most) for end in value)
    if low > high:
        raise TaskError(f"{key} is {shown(list(value))}; in [low, high], low is not above high.")
    return low, high


def deviations(value, key: str) -> tuple[float, ...]:
    """() is none."""
    several = value if isinstance(value, (list, tuple)) else [value]
    if isinstance(value, list) and not value:
        raise TaskError(f"{key} is []; it is one number, or one for each observation.")
    return tuple(number(one, key, *DEVIATIONS) for one in several)


def number(value, key: str, least, most):
    """A float, or an int where the bounds are."""
    whole = isinstance(least, int)
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        kind = "whole number" if whole else "number"
        raise TaskError(f"{key} is {shown(value)}; it is a {kind} from {least:g} to {most:g}.")
    return value if whole else float(value)


def choice(value, key: str, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise TaskError(f"{key} is {shown(value)}; it is one of {', '.join(known)}.")
    return value


def advice(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{f'Did you mean {close[0]}? ' if close else ''}Known: {', '.join(known)}."


def key_of(name: str) -> str:
    """Where [vary] holds the name, as messages say it."""
    plain = name.replace(".", "_").isidentifier() and len(name) <= 60
    return f"vary.{name if plain else shown(name)}"


def shown(value) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        return "something very long"
    return text if len(text) <= 60 else f"{text[:57]}..."


def keep(frozen, **values) -> None:
    """Writes what was validated into a frozen dataclass under construction."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)
