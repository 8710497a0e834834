"""One HTML page that shows what a run was: pictures inside, nothing to fetch."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from .hil import Episode, Summary
from .link import Hello
from .model import Policy
from .policy_file import PolicyInfo
from .storage import write_atomically
from .version import VERSION


def save_run_report(
    path: Path,
    policy: Policy,
    info: PolicyInfo,
    hello: Hello,
    episodes: list[Episode],
    summary: Summary,
    curve: bytes | None = None,
    build: str = "",
) -> None:
    """curve: a PNG of the training; build: the firmware's figures as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ecedge"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html").render(
        version=VERSION,
        policy=policy,
        info=info,
        hello=hello,
        episodes=episodes,
        summary=summary,
        tick_us=1e6 / summary.tick_hz,
        build=build,
        curve=data_url(curve) if curve else None,
        latencies=data_url(draw_latencies(episodes, summary.deadline_ms)),
    )
    write_atomically(path, page.encode())


def data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def draw_latencies(episodes: list[Episode], deadline_ms: float) -> bytes:
    """A PNG of the step latencies' distribution, with the deadline if it is in sight."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    latencies = np.array([step.latency for e in episodes for step in e.steps]) * 1000
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = np.geomspace(
        latencies.min() * 0.9, max(latencies.max(), latencies.min() * 1.5) * 1.1, 60
    )
    axes.hist(latencies, bins=edges)
    axes.axvline(deadline_ms, color="tab:red", linewidth=1, label=f"deadline, {deadline_ms:g} ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("ms from counts sent to outputs received")
    axes.set_ylabel("steps")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()
