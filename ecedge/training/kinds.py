"""The kinds of networks that can be trained. A kind is one file beside this and one line below."""

from __future__ import annotations

from ..errors import UsageError
from .dense import Gru, Lstm, Mlp
from .one_bit import OneBit
from .rsnn import RealSpiking

KINDS = {"one-bit": OneBit, "rsnn": RealSpiking, "gru": Gru, "lstm": Lstm, "mlp": Mlp}


def find_kind(name: str):
    try:
        return KINDS[name]
    except KeyError:
        raise UsageError(
            f"There is no kind of network {name!r}; there are {', '.join(KINDS)}."
        ) from None
