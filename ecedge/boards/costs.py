"""What a control step costs on a board: a sum of its parts, each as often as the network has it.

`firmware/costs.csv` has a line for each board and choice of kernels: what one of each part costs,
fitted by least squares to counts of the board's emulator (`make costs`), and the fit's largest
relative error. QEMU counts instructions, simavr and rp2040js cycles; none knows wait states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..model import SIGNED, NetworkSpec
from .registry import Board, sources_root
from .tables import read_table, write_table

FEW_ROWS = 31  # EC_FEW of ec_kernel.h: rows that are summed at once
CODED_SPIKES, CODED_OUTPUTS = 64, 8  # of ec_readout.c: spikes and outputs that are read by codes
MOST_BITS = 7  # of ec_drive.c: in an observation's magnitude
FIELDS = 4  # of ec_readout.c: outputs that the first word of counts holds

#: part: what it is. A word is 32 neurons; a row is of a neuron that spiked, or of one that did not
#: where those are fewer.
PARTS = {
    "step": "a control step",
    "observation": "an observation",
    "input_word": "a word of the input layer",
    "observation_word": "an observation in a word",
    "bit_word": "a bit that is set in an observation, in a word",
    "substep": "a substep",
    "word": "a word, its update above all",
    "slow_word": "the same where the shifts and the gain are not those compiled in",
    "signed_word": "a word of the signed form",
    "row": "a row that is listed",
    "row_outputs": "the same for more than four outputs, or of a silent neuron",
    "row_word": "a row added to a word",
    "many_word": "a word to which more than 31 rows are added",
    "part_word": "31 rows or the rest of them, added to a word",
    "silent": "a substep in which silent neurons' rows are summed",
    "silent_word": "a word to which silent neurons' rows are added",
    "output": "an output",
    "counted_output": "an output for which spikes are counted, not read by codes",
    "output_word": "the same in a word",
}


@dataclass(frozen=True)
class Load:
    """What the network's numbers do not tell of a control step.

    spikes: neurons that spike in each substep; bits: set in the magnitude of each observation;
    fast: the shifts and the gain are those that are compiled in.
    """

    spikes: int
    bits: int
    fast: bool = True


@dataclass(frozen=True)
class Costs:
    """A line of the table. unit: "instructions" or "cycles"; error: largest, relative."""

    board: str
    kernels: tuple[str, ...]
    unit: str
    error: float
    compiler: str
    coefficients: tuple[float, ...]

    def step(self, spec: NetworkSpec, load: Load) -> int:
        """Of a control step."""
        return round(float(np.dot(parts(spec, load), self.coefficients)))

    def worst(self, spec: NetworkSpec, fast: bool = True) -> tuple[int, Load]:
        """Of the dearest control step, and which that is."""
        loads = [Load(spikes, MOST_BITS, fast) for spikes in range(spec.n_neurons + 1)]
        return max(((self.step(spec, load), load) for load in loads), key=lambda pair: pair[0])


def parts(spec: NetworkSpec, load: Load) -> list[float]:
    """How often a control step has each of PARTS."""
    spikes = load.spikes
    words, half = spec.n_neurons // 32, spec.n_neurons // 2
    silent = spikes > half
    rows = spec.n_neurons - spikes if silent else spikes
    begun = min(spikes, half + 32) if silent else 0  # listed before they were found too many
    listed = begun + rows
    many = silent or rows > FEW_ROWS
    coded = not silent and rows <= CODED_SPIKES and spec.n_act <= CODED_OUTPUTS
    substep = {
        "substep": 1,
        "word": words,
        "slow_word": words * (not load.fast),
        "signed_word": words * (spec.form == SIGNED),
        "row": listed,
        "row_outputs": listed if spec.n_act > FIELDS else rows * silent,
        "row_word": rows * words,
        "many_word": words * many,
        "part_word": words * many * -(-rows // FEW_ROWS),
        "silent": silent,
        "silent_word": words * silent,
        "output": spec.n_act,
        "counted_output": spec.n_act * (not coded),
        "output_word": spec.n_act * words * (not coded),
    }
    step = {
        "step": 1,
        "observation": spec.n_obs,
        "input_word": words,
        "observation_word": spec.n_obs * words,
        "bit_word": spec.n_obs * load.bits * words,
    } | {name: spec.substeps * number for name, number in substep.items()}
    return [float(step[name]) for name in PARTS]


def fit(
    board: Board, unit: str, compiler: str, points: Iterable[tuple[list[float], float]]
) -> Costs:
    """Costs from (parts, count) of measured steps: least squares of relative errors."""
    numbers, counts = (np.array(column) for column in zip(*points, strict=True))
    coefficients = np.linalg.lstsq(numbers / counts[:, None], np.ones(len(counts)), rcond=None)[0]
    error = np.abs(numbers @ coefficients / counts - 1).max()
    return Costs(board.name, board.kernels, unit, error, compiler, tuple(coefficients))


def costs_path() -> Path:
    return sources_root() / "firmware/costs.csv"


@cache
def read_costs() -> dict[tuple[str, tuple[str, ...]], Costs]:
    """The table, by board and kernels."""
    costs = {}
    for row in read_table(costs_path()):
        line = Costs(
            row["board"],
            tuple(row["kernels"].split()),
            row["unit"],
            float(row["error"]),
            row["compiler"],
            tuple(float(row[name]) for name in PARTS),
        )
        costs[line.board, line.kernels] = line
    return costs


def write_costs(lines: Iterable[Costs]) -> None:
    rows = [
        {
            "board": line.board,
            "kernels": " ".join(line.kernels),
            "unit": line.unit,
            "error": f"{line.error:.4f}",
            "compiler": line.compiler,
            **{name: f"{c:.2f}" for name, c in zip(PARTS, line.coefficients, strict=True)},
        }
        for line in lines
    ]
    about = "\n".join(f"{name}: {meaning}" for name, meaning in PARTS.items())
    write_table(costs_path(), "make costs", about, rows)
