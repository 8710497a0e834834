"""What a policy will need on a board, before anything is flashed: memory, time, energy.

Sizes and stack are the compiler's and linker's, steps are computed from the costs that were counted
in the board's emulator. Seconds and joules are estimates, and labelled so: they take an instruction
for a cycle where the emulator counts instructions, and no board was measured.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass

from ..model import NetworkSpec, Policy
from .build import Build, build
from .costs import Costs, Load, read_costs
from .registry import Board

USUAL_ACTIVITY = 0.1  # where a policy's own is not known
USUAL_BITS = 4  # of 7 in an observation's magnitude


@dataclass(frozen=True)
class Forecast:
    """activity: part of the neurons that spike in a substep of a typical control step. costs: with
    the board's kernels, portable: with none; None where nobody counted them."""

    built: Build
    spec: NetworkSpec
    activity: float
    costs: Costs | None
    portable: Costs | None

    @property
    def board(self) -> Board:
        return self.built.board

    @property
    def load(self) -> Load:
        """Of a typical control step."""
        return Load(round(self.activity * self.spec.n_neurons), USUAL_BITS, self._fast)

    @property
    def typical(self) -> int:
        """Instructions or cycles of a control step."""
        return self.costs.step(self.spec, self.load)

    @property
    def worst(self) -> int:
        return self.worst_case[0]

    @property
    def worst_case(self) -> tuple[int, Load]:
        return self.costs.worst(self.spec, self._fast)

    @property
    def rate(self) -> float:
        """Control steps a second that fit even if each is the worst: an estimate."""
        return self.board.clock_hz / self.worst

    @property
    def joules(self) -> tuple[float, float] | None:
        """Of a typical control step and of the worst: estimates. None where board.toml tells no
        current."""
        power = self.board.power
        return power and (power.joules(self.typical), power.joules(self.worst))

    @property
    def _fast(self) -> bool:
        """Whether the built-in policy's shifts and gain are compiled in: see ec_fast.h."""
        return self.spec.recurrent_gain <= 0

    def row(self) -> dict:
        """All figures, for a script."""
        board, built = self.board, self.built
        row = {
            "board": board.name,
            "fits": True,
            "compiler": built.toolchain,
            **asdict(built.sizes),
            "flash": built.sizes.flash,
            "flash_of": board.flash and board.flash.length,
            "ram": built.sizes.ram + board.stack,
            "ram_of": board.ram and board.ram.length,
            "stack_worst": built.stack.worst,
            "stack_of": board.stack,
            "kernels": list(board.kernels),
            "unit": None,
        }
        if not self.costs:
            return row
        worst, load = self.worst_case
        typical_j, worst_j = self.joules or (None, None)
        return row | {
            "unit": self.costs.unit,
            "error": self.costs.error,
            "activity": self.activity,
            "typical": self.typical,
            "worst": worst,
            "worst_spikes": load.spikes,
            "portable": self.portable and self.portable.step(self.spec, self.load),
            "clock_hz": board.clock_hz,
            "estimated_typical_s": self.typical / board.clock_hz,
            "estimated_worst_s": worst / board.clock_hz,
            "estimated_rate_hz": self.rate,
            "estimated_typical_j": typical_j,
            "estimated_worst_j": worst_j,
            "power": board.power and asdict(board.power),
        }

    def line(self) -> str:
        """A line of a table below HEADER."""
        built = self.built
        text = (
            f"{self.board.name:16} {built.sizes.flash:>9,} "
            f"{built.sizes.ram + self.board.stack:>9,} {built.stack.worst:>6,}"
        )
        if not self.costs:
            return f"{text}   nobody counted its steps"
        energy = _joules(self.joules[0]) if self.joules else "unknown"
        return (
            f"{text} {self.typical:>10,} {self.worst:>10,} {self.costs.unit:12} "
            f"{_seconds(self.worst / self.board.clock_hz):>8} {self.rate:>9,.0f} {energy:>8}"
        )

    def __str__(self) -> str:
        head = f"{self.board.name}: {self.board.title} ({self.built.toolchain})"
        return "\n".join([head, self.built.figures(), *(f"  {line}" for line in self._lines())])

    def _lines(self) -> list[str]:
        board, costs = self.board, self.costs
        if not costs:
            return ["steps   nobody counted them in an emulator"]
        worst, worst_load = self.worst_case
        cycle = ", an instruction a cycle" if costs.unit == "instructions" else ""
        lines = [
            f"step    {self.typical:,} {costs.unit} while {self.load.spikes} of "
            f"{self.spec.n_neurons} neurons spike ({self.activity:.0%}), {worst:,} at worst "
            f"({worst_load.spikes} spike); within {costs.error:.0%} of its emulator's count",
            f"        ESTIMATE at {board.clock_hz / 1e6:g} MHz{cycle}, no wait states: "
            f"{_seconds(self.typical / board.clock_hz)}, "
            f"{_seconds(worst / board.clock_hz)} at worst: {self.rate:,.0f} Hz",
            *self._energy(cycle),
            f"kernels {self._kernels()}",
        ]
        if costs.compiler != self.built.toolchain:
            lines.append(f"        steps were counted with {costs.compiler}")
        return lines

    def _energy(self, cycle: str) -> list[str]:
        power, clock = self.board.power, self.board.clock_hz
        if not power:
            return ["energy  unknown: board.toml tells no current of a part"]
        typical, worst = self.joules
        other = f", a cycle at {clock / 1e6:g} MHz the same" if clock != power.clock_hz else ""
        return [
            f"energy  ESTIMATE {_joules(typical)} a typical step, {_joules(worst)} at worst: "
            f"{power.active_ma:g} mA at {power.volts:g} V and {power.clock_hz / 1e6:g} MHz{other}",
            f"        ({power.source}); core active{cycle}, no wait states, peripherals off; "
            "sleep and line not counted",
        ]

    def _kernels(self) -> str:
        if not self.board.kernels:
            return "none: the core's portable C"
        names = ", ".join(self.board.kernels)
        if not self.portable:
            return names
        plain = self.portable.step(self.spec, self.load)
        return f"{names}: {self.typical:,} {self.costs.unit} where portable C takes {plain:,}"


HEADER = (
    f"{'':16} {'flash':>9} {'RAM':>9} {'stack':>6} {'typical':>10} {'worst':>10} {'a step':12} "
    f"{'ESTIMATE':>8} {'highest':>9} {'ESTIMATE':>8}\n"
    f"{'board':16} {'bytes':>9} {'bytes':>9} {'bytes':>6} {'':>10} {'':>10} {'':12} "
    f"{'at worst':>8} {'rate, Hz':>9} {'typical':>8}"
)


def make_forecast(policy: Policy, board: Board, activity: float = USUAL_ACTIVITY) -> Forecast:
    """Builds firmware with the policy inside, leaves nothing behind. Raises what `build` raises:
    DoesNotFit where the policy does not."""
    with tempfile.TemporaryDirectory(prefix="ecedge-") as folder:
        built = build(policy, board, folder, command="ecedge report")
    costs = read_costs()
    known, portable = costs.get((board.name, board.kernels)), costs.get((board.name, ()))
    return Forecast(built, policy.spec, activity, known, portable)


def _seconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"


def _joules(joules: float) -> str:
    return f"{1e3 * joules:.3g} mJ" if joules >= 1e-3 else f"{1e6 * joules:.3g} µJ"
