"""Values of a declared task: each is checked once, and a TaskError says what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from ..errors import TaskError


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
    return tuple(number(one, key, 0.0, 1e6) for one in several)


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
