"""The quantities of a MuJoCo model that may vary, and their values in every simulation of a batch.

A name is a field of mjModel, or one of `NAMES`, which stands for fields that vary together.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from ...errors import TaskError
from ..values import advice, shown
from ..variation import Change, Variation

#: name -> the fields that one draw changes
NAMES = {
    "mass": ("body_mass", "body_inertia"),  # a body of another density
    "friction": ("geom_friction",),
    "gain": ("actuator_gainprm", "actuator_biasprm"),  # all of an actuator's force
    "damping": ("dof_damping",),
    "friction_loss": ("dof_frictionloss",),
    "armature": ("dof_armature",),
    "stiffness": ("jnt_stiffness",),
    "gravity": ("opt.gravity",),
}

#: fields of one number each that is never negative, so that it may be added to
SCALARS = (
    "dof_damping", "dof_frictionloss", "dof_armature", "jnt_stiffness",
    "actuator_damping", "actuator_armature",
    "tendon_damping", "tendon_frictionloss", "tendon_stiffness",
    "opt.density", "opt.viscosity",
)  # fmt: skip

#: fields that are only scaled
VECTORS = (
    "body_mass", "body_inertia", "geom_friction", "geom_solref", "pair_friction",
    "actuator_gainprm", "actuator_biasprm", "actuator_gear", "actuator_forcerange",
    "actuator_dynprm", "opt.gravity",
)  # fmt: skip

KNOWN = (*Variation.SIGNALS, *NAMES, *SCALARS, *VECTORS)


def check(model: mujoco.MjModel, changes: Sequence[Change], plant: str) -> None:
    """TaskError where a change is impossible in the model, or would change nothing."""
    changed: dict[str, str] = {}
    for change in changes:
        key = change.key
        if change.name not in KNOWN:
            raise TaskError(f"{key} is no quantity that can vary.", advice(change.name, KNOWN))
        values = {field: value_of(model, field) for field in fields_of(change)}
        for field in values:
            if other := changed.get(field):
                raise TaskError(f"vary.{other} and {key} both change {field}; give one of them.")
            changed[field] = change.name
        if change.per == "element" and any(field.startswith("opt.") for field in values):
            raise TaskError(f'{key}.per is "element"; there is one for the whole model.')
        if change.how == "scale":
            if not any(value.any() for value in values.values()):
                raise TaskError(
                    f"{key}: {plant} has none of it, so a factor changes nothing.",
                    f"Give {key}.add." if values.keys() <= {*SCALARS} else "",
                )
            continue
        if not values.keys() <= {*SCALARS}:
            raise TaskError(
                f"{key}.add is given; it can only be scaled.",
                f"Added to can be {', '.join(SCALARS)}.",
            )
        for field, value in values.items():
            places = driven(model, field)
            if not places.any():
                raise TaskError(f"{key}.add: {plant} has nothing of the kind to add to.")
            least = value[places].min()
            if least + change.low < 0:
                raise TaskError(
                    f"{key}.add is {shown([change.low, change.high])}; it is at least {-least:g}, "
                    f"or {field} would be negative."
                )


class VariedFields:
    """The changed fields of the simulations of a `mujoco.batch.Batch`."""

    def __init__(self, physics, changes: Sequence[Change]):
        self._physics = physics
        self._changes = changes
        model = physics.model
        fields = [field for change in changes for field in fields_of(change)]
        self._stock = {field: value_of(model, field).copy() for field in fields}
        self._driven = {field: driven(model, field) for field in fields}
        self._values = {field: physics.expand(field) for field in fields}
        inputs = mujoco.MjModel._setconst_inputs
        self._derives = any(field in inputs or field.startswith("opt.") for field in fields)

    @property
    def masses(self) -> np.ndarray | None:
        """(n, bodies), or None where they are the model's."""
        return self._values.get("body_mass")

    def draw(self, seeds: Sequence[int]) -> None:
        """Gives simulation k the model of the episode of seeds[k]."""
        distinct = list(dict.fromkeys(seeds))
        place = [distinct.index(seed) for seed in seeds]
        for change in self._changes:
            for field in fields_of(change):
                stock = self._stock[field]
                values = np.array([self._value(change, field, seed) for seed in distinct])
                self._values[field][:] = values[place].reshape(len(place), *stock.shape)
        if self._derives:
            self._physics.set_const()

    def _value(self, change: Change, field: str, seed: int) -> np.ndarray:
        stock = self._stock[field]
        if field.startswith("opt."):
            drawn = change.draw(seed, 1)[0]
        else:
            drawn = change.draw(seed, len(stock)).reshape(-1, *(1,) * (stock.ndim - 1))
        return stock * drawn if change.how == "scale" else stock + drawn * self._driven[field]


def fields_of(change: Change) -> tuple[str, ...]:
    return NAMES.get(change.name, (change.name,))


def value_of(model: mujoco.MjModel, field: str) -> np.ndarray:
    """(elements, ...), or as it is in mjOption."""
    if field.startswith("opt."):
        return np.asarray(getattr(model.opt, field.removeprefix("opt.")))
    return getattr(model, field)


def driven(model: mujoco.MjModel, field: str) -> np.ndarray:
    """Which of a scalar field's elements may be added to: of joints, those that an actuator moves,
    for a root that slides through the air has no bearing."""
    kind = field.partition("_")[0]
    if kind not in ("dof", "jnt"):
        return np.ones(value_of(model, field).shape, bool)
    moves = [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)]
    joints = model.actuator_trnid[np.isin(model.actuator_trntype, moves), 0]
    return np.isin(np.arange(model.njnt) if kind == "jnt" else model.dof_jntid, joints)
