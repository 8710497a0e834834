"""Gymnasium's MuJoCo tasks on `mujoco.batch`: the stock environments' bits, many at once.

A plant is one file here and one line below.
"""

from __future__ import annotations

from .ant import Ant
from .batch import MujocoBatch
from .half_cheetah import HalfCheetah
from .hopper import Hopper
from .humanoid import Humanoid
from .inverted_double_pendulum import InvertedDoublePendulum
from .inverted_pendulum import InvertedPendulum
from .reacher import Reacher
from .swimmer import Swimmer
from .walker2d import Walker2d

PLANTS: dict[str, type[MujocoBatch]] = {
    plant.id: plant
    for plant in (
        Ant,
        HalfCheetah,
        Hopper,
        Humanoid,
        InvertedDoublePendulum,
        InvertedPendulum,
        Reacher,
        Swimmer,
        Walker2d,
    )
}
