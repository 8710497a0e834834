"""How a plant varies from episode to episode.

All that varies follows from an episode's seed: the members of a generation, which share one, meet
the same plant. Every key draws from a stream of its own, so none disturbs another's draws.
docs/TASKS.md tells the keys and their units.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from ..errors import TaskError
from .values import choice, deviations, interval, keep, key_of, only, shown, table

STREAM = 0x76617279  # "vary": apart from gymnasium's draws, which take the bare seed
FACTORS = 1e-3, 1e3
AMOUNTS = -1e6, 1e6
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
