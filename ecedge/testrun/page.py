"""A test run as one HTML page: pictures inside, nothing to fetch."""

from __future__ import annotations

import base64
import io
import os
from itertools import islice

import numpy as np

from ..film import DARK, EXCITATORY, INHIBITORY, draw_raster
from ..hil import Episode
from ..model import OUTPUT_ONE, Policy
from ..reference import reset, substeps
from ..storage import write_atomically
from ..version import VERSION
from .results import DeviceResult, Outcome, TestRun

SHOWN_STEPS = 60  # control steps of the raster
INK, QUIET, LINE = "#1f2430", "#7a8194", "#e6e8ee"
BLUE, RED = "#3b6fd4", "#d23f4b"
COLOURS = {
    Outcome.PASSED: "#1f9d68",
    Outcome.WRONG: RED,
    Outcome.FLASH: "#b0407f",
    Outcome.LINK: "#d9822b",
    Outcome.ABSENT: "#8a6d3b",
    Outcome.QUARANTINED: "#9aa1b2",
    Outcome.INTERRUPTED: "#9aa1b2",
}
ROW = 0.62  # inches of a device in a picture


def save_page(path: str | os.PathLike, run: TestRun, policy: Policy) -> None:
    """Returns, latency, spikes, and whether every bit was equal, of every device."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ecedge"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    ran = [device for device in run.devices if device.episodes]
    page = environment.get_template("hil.html").render(
        version=VERSION,
        run=run,
        policy=policy,
        colours=COLOURS,
        Outcome=Outcome,
        summaries={device.name: device.summary(policy) for device in ran},
        asked=[d for d in run.devices if d.outcome is not Outcome.QUARANTINED],
        passed=[d for d in run.devices if d.outcome is Outcome.PASSED],
        returns=_data_url(draw_returns(run, ran)) if ran else None,
        latencies=_data_url(draw_latencies(run, ran)) if ran else None,
        shown=ran[0] if ran else None,
        raster=_data_url(draw_raster_of(policy, ran[0].episodes[0])) if ran else None,
        shown_steps=min(SHOWN_STEPS, len(ran[0].episodes[0].steps)) if ran else 0,
    )
    write_atomically(path, page.encode())


def _data_url(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


# --- pictures -------------------------------------------------------------------------------


def draw_returns(run: TestRun, devices: list[DeviceResult]) -> bytes:
    """An SVG: a row a device, a dot an episode, the mean as a bar."""
    figure, axes = _rows(devices)
    for row, device in enumerate(devices):
        totals = np.array([episode.total for episode in device.episodes])
        wrong = np.array([bool(run.plan.complaint(episode)) for episode in device.episodes])
        # Dots of one return lie in a column: numbers that the eye takes for chance, the same always
        heights = row + 0.3 * (np.modf(np.arange(len(totals)) * 0.618034)[0] * 2 - 1)
        for which, colour in ((~wrong, BLUE), (wrong, RED)):
            axes.scatter(
                totals[which], heights[which], 30, colour, alpha=0.6, linewidths=0, zorder=3
            )
        axes.plot([totals.mean()] * 2, [row - 0.4, row + 0.4], color=INK, alpha=0.2, linewidth=5)
    if run.plan.at_least is not None:
        axes.axvline(run.plan.at_least, color=RED, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(low - 1, high + 1)
    axes.set_xlabel("return of an episode")
    return _svg(figure)


def draw_latencies(run: TestRun, devices: list[DeviceResult]) -> bytes:
    """An SVG: a row a device, a hill of its steps' latencies; median, 99th percentile, deadline."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _rows(devices)
    each = [
        np.array([step.latency for e in device.episodes for step in e.steps]) * 1000
        for device in devices
    ]
    least, most = min(map(np.min, each)), max(map(np.max, each))
    edges = np.geomspace(least * 0.8, max(most, run.plan.deadline_ms) * 1.3, 90)
    middle = np.sqrt(edges[:-1] * edges[1:])
    for row, latencies in enumerate(each):
        # Roots, so that a few late steps among thousands are seen
        hill = np.sqrt(np.histogram(latencies, edges)[0])
        floor = row + 0.4
        axes.fill_between(middle, floor, floor - 0.85 * hill / hill.max(), color=BLUE, alpha=0.3)
        axes.step(middle, floor - 0.85 * hill / hill.max(), where="mid", color=BLUE, linewidth=1)
        for share, width in ((50, 2.0), (99, 1.0)):
            place = np.percentile(latencies, share)
            axes.plot([place] * 2, [floor, floor - 0.3], color=INK, linewidth=width, zorder=4)
    axes.axvline(run.plan.deadline_ms, color=RED, linewidth=1.2, zorder=2)
    axes.annotate(
        f"deadline {run.plan.deadline_ms:g} ms",
        (run.plan.deadline_ms, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=RED,
        fontsize=8,
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("ms from counts sent to outputs received")
    return _svg(figure)


def draw_raster_of(policy: Policy, episode: Episode) -> bytes:
    """An SVG of an episode's first steps as the reference computes them: observations, every spike,
    outputs."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    spec = policy.spec
    raw = np.array([step.raw for step in islice(episode.steps, SHOWN_STEPS)])
    states, state = [], reset(spec)
    for counts in raw:
        states += substeps(policy, state, counts)
        state = states[-1]
    spikes = np.array([state.spikes for state in states], np.uint8)
    outputs = np.array([state.output for state in states]) / OUTPUT_ONE
    paper, ink = "#181a1f", "#c9ccd3"
    warm, cold, dark = (tuple(p / 255 for p in c) for c in (EXCITATORY, INHIBITORY, DARK))
    figure = Figure(figsize=(9, 5.2), layout="constrained", facecolor=paper)
    seen, raster, moved = figure.subplots(3, 1, sharex=True, height_ratios=(1, 4.2, 1.3))
    signs = LinearSegmentedColormap.from_list("signs", [cold, dark, warm])
    seen.imshow(
        (raw / np.maximum(np.abs(raw).max(axis=0), 1)).T,
        cmap=signs,
        vmin=-1,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(raw), spec.n_obs, 0),
    )
    raster.imshow(
        draw_raster(spec, spikes, spec.n_neurons),
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(raw), spec.n_neurons, 0),
    )
    at = (np.arange(len(outputs)) + 1) / spec.substeps
    for output in outputs.T:
        moved.plot(at, output, linewidth=1.2)
    moved.axhline(0, color="#3a3e48", linewidth=0.8, zorder=1)
    seen.set_yticks([])
    seen.set_ylabel("observed")
    raster.set_ylabel("neuron")
    moved.set_ylabel("output")
    moved.set_xlabel("control step")
    for axes in (seen, raster, moved):
        axes.set_facecolor(dark)
        axes.tick_params(colors=ink, labelsize=8, length=2)
        axes.yaxis.label.set_color(ink)
        axes.xaxis.label.set_color(ink)
        axes.spines[:].set_visible(False)
    for name, colour, x in (("excitatory", warm, 0.0), ("inhibitory", cold, 0.13)):
        raster.text(
            x, 1.015, name, color=colour, transform=raster.transAxes, fontsize=8, va="bottom"
        )
    figure.align_ylabels()
    return _svg(figure)


def _rows(devices: list[DeviceResult]):
    """(figure, axes) with a row for each device, the first on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.9 + ROW * len(devices)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yticks(range(len(devices)), [device.name for device in devices])
    axes.set_ylim(len(devices) - 0.45, -0.55)
    axes.grid(axis="x", color=LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=QUIET, length=0)
    axes.tick_params(axis="y", colors=INK)
    axes.xaxis.label.set_color(QUIET)
    axes.spines[:].set_visible(False)
    for row in range(len(devices)):
        axes.axhline(row + 0.4, color=LINE, linewidth=1, zorder=1)
    return figure, axes


def _svg(figure) -> bytes:
    from matplotlib import rc_context

    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "ecedge"}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()
