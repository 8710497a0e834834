"""Tasks of one's own: a stock task, how its plant varies, and what training makes of it.

A declaration is a TOML file (docs/TASKS.md), or the same as JSON text, which is how a run keeps it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import TaskError
from .physics import Physics
from .stock import stock_task
from .task import Task
from .values import number, shown, table
from .variation import AMOUNTS, Variation

KEYS = "id", "vary", "physics", "fitness"


def read_file(path: Path) -> Task:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise TaskError(
            f"There is no task file {path}.", "docs/TASKS.md tells how one looks."
        ) from None
    except UnicodeDecodeError as error:
        raise TaskError(
            f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TaskError(f"{path} cannot be read: {reason}.") from error
    return parse(tomllib.loads, text, f"{path}", "TOML")


def read_json(text: str) -> Task:
    return parse(json.loads, text, "The task", "JSON")


def parse(load, text: str, where: str, language: str) -> Task:
    try:
        facts = load(text)
    except RecursionError:
        raise TaskError(f"{where} is not {language} that can be read: it nests too deep.") from None
    except ValueError as error:  # also for numbers and dates that Python cannot hold
        raise TaskError(f"{where} is not {language}: {f'{error}'.rstrip('.')}.") from error
    try:
        return declare(facts)
    except TaskError as error:
        raise TaskError(f"{where}: {error.message}", error.hint) from error


def declare(facts: Mapping) -> Task:
    """The task of a declaration: a table of `id`, and any of `vary`, `physics`, `fitness`."""
    table(facts, "the top level", KEYS)
    name = facts.get("id")
    if not isinstance(name, str) or not name or not name.isprintable():
        was = f"id is {shown(name)}" if "id" in facts else "The key id is missing"
        raise TaskError(f'{was}; it is a gymnasium id in quotes, such as "Hopper-v5".')
    variation = Variation.from_dict(facts.get("vary", {}))
    physics = Physics.from_dict(facts.get("physics", {}))
    fitness = table(facts.get("fitness", {}), "fitness", ("step_reward",))
    task = replace(
        stock_task(name),
        variation=None if variation == Variation() else variation,
        physics=None if physics == Physics() else physics,
        step_reward=number(fitness.get("step_reward", 0.0), "fitness.step_reward", *AMOUNTS),
    )
    task.batch.check(task)
    return task
