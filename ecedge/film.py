"""One episode as a film: the plant's picture, and beside it every spike of the network.

The raster is exact: `ecedge.reference` runs the network, a row is a neuron, a column a substep.
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import StorageError, TaskError, ToolError, UsageError
from .model import NetworkSpec, Policy, decode_action
from .reference import reset, substeps
from .storage import reason, write_atomically
from .tasks import Task
from .tasks.vector import blaming

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 480  # substeps that the raster shows
SMOOTH = 30  # frames a second that are enough, unless more are asked for
PACES = 0.1, 1000.0  # frames a second that files can say
MARGIN, LINE = 12, 30  # pixels
PAPER, INK, DARK = (24, 26, 31), (222, 224, 228), (10, 11, 14)
EXCITATORY, INHIBITORY = (255, 176, 64), (88, 180, 255)
SCREENS = {"DISPLAY", "WAYLAND_DISPLAY"}  # variables that name one
INSTALL = "Install what it needs: pip install 'ecedge[watch]'"


@dataclass(frozen=True)
class Film:
    """What was filmed: `total` is the sum of rewards over `steps` control steps, `ended` whether
    the episode ended by itself; `fps` frames are shown a second."""

    path: Path
    total: float
    steps: int
    ended: bool
    frames: int
    fps: float


@dataclass(frozen=True)
class Scene:
    """A moment after `step` control steps. picture: (height, width, 3) uint8;
    spikes: (COLUMNS, N) uint8 of the last substeps, the newest last."""

    picture: np.ndarray
    spikes: np.ndarray
    step: int
    total: float
    ended: bool


def save_film(
    path: str | os.PathLike,
    policy: Policy,
    task: Task,
    seed: int = 0,
    steps: int | None = None,
    every: int | None = None,
    fps: float | None = None,
) -> Film:
    """Films one episode of the stock environment into `path`, by its suffix .mp4 or .gif.

    It is cut after `steps` control steps. A frame stands for `every` control steps, and `fps` are
    shown a second; the defaults give real time at 30 frames a second or fewer. Needs no screen: see
    `choose_gl`. Raises ToolError where a package or a system library is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"{path.name} is no name of a film.", f"End it in {' or '.join(WRITERS)}.")
    for name, value in (("steps", steps), ("every", every), ("fps", fps)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} is {value:g}; it is more than 0.")
    if fps is not None and not PACES[0] <= fps <= PACES[1]:
        raise UsageError(f"fps is {fps:g}; it is from {PACES[0]:g} to {PACES[1]:g}.")
    if not path.parent.is_dir():
        raise StorageError(f"Cannot write {path}.", f"Make the folder {path.parent} first.")
    if sys.platform == "linux" and not SCREENS & os.environ.keys():
        # pygame looks for a screen, and complains.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    environment = task.make_single(render_mode="rgb_array")
    scene, count = None, 0
    try:
        if "mujoco" in sys.modules:
            choose_gl()
        rate = environment.metadata.get("render_fps") or 50
        every = every or -(-rate // SMOOTH)
        fps = fps or rate / every

        def frames() -> Iterator[Image]:
            nonlocal scene, count
            for scene in play(environment, policy, task, seed, steps, every):
                count += 1
                yield compose(task.id, policy.spec, scene)

        data, fps = WRITERS[path.suffix.lower()](frames(), fps)
    finally:
        environment.close()
    write_atomically(path, data)
    return Film(path, scene.total, scene.step, scene.ended, count, fps)


def play(environment, policy: Policy, task: Task, seed: int, steps, every: int) -> Iterator[Scene]:
    """One episode, at most `steps` long: a scene after `every` control steps, and the last one."""
    spec = policy.spec
    low, high = np.array(task.low, np.float32), np.array(task.high, np.float32)
    spikes = np.zeros((COLUMNS, spec.n_neurons), np.uint8)
    state, total = reset(spec), 0.0
    with blaming(task.id):
        observation, _ = environment.reset(seed=seed)
    for step in itertools.count(1):
        states = list(substeps(policy, state, policy.observation_map.encode(observation)))
        state = states[-1]
        spikes = np.concatenate((spikes, [each.spikes for each in states]))[-COLUMNS:]
        action = decode_action(spec, state.output.astype(np.int16), low, high)
        with blaming(task.id):
            observation, reward, terminated, truncated, _ = environment.step(action)
        total += float(reward)
        ended = bool(terminated or truncated)
        last = ended or step == steps
        if last or step % every == 0:
            yield Scene(picture_of(environment, task), spikes, step, total, ended)
        if last:
            return


def picture_of(environment, task: Task) -> np.ndarray:
    """(height, width, 3) uint8 of the plant as it is now."""
    with drawing(task.id):
        picture = environment.render()
    if np.ndim(picture) != 3 or np.shape(picture)[2] != 3:
        raise TaskError(f"{task.id} draws no pictures: it gave {type(picture).__name__}.")
    return np.asarray(picture, np.uint8)


@contextmanager
def drawing(task_id: str):
    """Whatever a task's drawing raises is a ToolError that says how to get what is missing."""
    try:
        yield
    except Exception as error:
        why = str(error).split("\n")[0].rstrip(".")
        absent = isinstance(error, ImportError) or isinstance(error.__cause__, ImportError)
        hint = INSTALL if absent else "Draw it in Python to see where: environment.render()"
        raise ToolError(f"{task_id} cannot be drawn: {why}.", hint) from error


# --- a frame --------------------------------------------------------------------------------


def compose(name: str, spec: NetworkSpec, scene: Scene) -> Image:
    """Picture and raster side by side, a line of text above and below. Width and height are even,
    as video wants them."""
    from PIL import Image, ImageDraw, ImageFont

    picture, raster = scene.picture, draw_raster(spec, scene.spikes, len(scene.picture))
    height = max(len(picture), len(raster)) + 2 * LINE
    width = picture.shape[1] + COLUMNS + 3 * MARGIN
    left, right = MARGIN, 2 * MARGIN + picture.shape[1]
    frame = Image.new("RGB", (width + width % 2, height + height % 2), PAPER)
    for part, x in ((picture, left), (raster, right)):
        frame.paste(Image.fromarray(part), (x, (height - len(part)) // 2))
    draw = ImageDraw.Draw(frame)
    font = ImageFont.load_default(size=15)

    def write(x: int, y: int, text: str, colour, anchor: str = "lm") -> None:
        draw.text((x, y), text, colour, font, anchor)

    top, bottom, end = LINE // 2, height - LINE // 2, right + COLUMNS
    write(left, top, name, INK)
    write(left + picture.shape[1], top, f"step {scene.step}   return {scene.total:.1f}", INK, "rm")
    for x, text, colour in legend(spec, right):
        write(x, top, text, colour)
    write(end, bottom, f"a column a substep, {spec.substeps} a step", INK, "rm")
    return frame


def legend(spec: NetworkSpec, x: int) -> Iterator[tuple[int, str, tuple]]:
    """(x, text, colour) of the groups of neurons that there are."""
    groups = (("excitatory", spec.n_exc), ("inhibitory", spec.n_neurons - spec.n_exc))
    for (name, count), colour in zip(groups, (EXCITATORY, INHIBITORY), strict=True):
        if count:
            yield x, f"{count} {name}", colour
            x += COLUMNS // 3


def draw_raster(spec: NetworkSpec, spikes: np.ndarray, height: int) -> np.ndarray:
    """(COLUMNS, N) uint8 of 0 and 1 -> (about `height`, COLUMNS, 3) uint8, neuron 0 on top."""
    colours = np.full((spec.n_neurons, 1, 3), INHIBITORY, np.uint8)
    colours[: spec.n_exc] = EXCITATORY
    raster = np.where(spikes.T[:, :, None], colours, np.array(DARK, np.uint8))
    return raster.repeat(max(1, round(height / spec.n_neurons)), axis=0)


# --- files ----------------------------------------------------------------------------------


# A writer returns the file and the frames a second that it shows.


def encode_gif(frames: Iterator[Image], fps: float) -> tuple[bytes, float]:
    """A GIF counts hundredths of a second, and viewers slow down below two of them."""
    if fps > 50:
        raise UsageError(
            f"A GIF shows at most 50 frames a second, not {fps:g}.",
            "Choose a lower fps or a larger every, or write an .mp4.",
        )
    data, hundredths = io.BytesIO(), round(100 / fps)
    next(frames).save(
        data,
        format="GIF",
        save_all=True,
        append_images=frames,
        duration=10 * hundredths,
        loop=0,
    )
    return data.getvalue(), 100 / hundredths


def encode_mp4(frames: Iterator[Image], fps: float) -> tuple[bytes, float]:
    """H.264 by the ffmpeg that imageio-ffmpeg brings, as browsers play it."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except ImportError as error:
        raise ToolError(
            "MP4 needs the package imageio-ffmpeg, which is not installed.",
            "Install it with: pip install 'ecedge[watch]', or write a .gif.",
        ) from error
    except RuntimeError as error:  # the package comes without the program on rare systems
        raise ToolError(
            "MP4 needs ffmpeg, which is not installed.", "Install it, or write a .gif."
        ) from error
    first = next(frames)
    with tempfile.TemporaryDirectory(prefix="ecedge-") as folder:
        path = Path(folder) / "film.mp4"
        film = imageio_ffmpeg.write_frames(
            str(path),
            first.size,
            fps=fps,
            codec="libx264",  # it looks for one by itself otherwise, and trips over a broken ffmpeg
            quality=8,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart"],
        )
        try:
            with closing(film):  # ffmpeg ends before its folder goes, whatever happens
                film.send(None)
                for frame in itertools.chain([first], frames):
                    film.send(frame.tobytes())
            return path.read_bytes(), fps
        except OSError as error:
            why = reason(error).splitlines()[0]  # its whole command follows
            raise StorageError(f"ffmpeg cannot write the film: {why}.") from error


WRITERS = {".mp4": encode_mp4, ".gif": encode_gif}


# --- OpenGL without a screen ----------------------------------------------------------------

PROBE = """
import sys
from importlib import import_module
import mujoco
context = import_module("mujoco." + sys.argv[1]).GLContext(64, 64)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
"""


def choose_gl() -> None:
    """Sets MUJOCO_GL to a way to draw that works on this machine, unless the user has set it.

    Only Linux has the choice, and MuJoCo reads it when it first draws. ToolError: nothing works.
    """
    if os.environ.get("MUJOCO_GL") or sys.platform != "linux":
        return
    ways = ["egl", "osmesa", *(["glfw"] if os.environ.get("DISPLAY") else [])]
    chosen = next(filter(draws, ways), None)
    if chosen is None:
        raise ToolError(
            "MuJoCo cannot draw here: neither EGL nor OSMesa works.",
            "Install OSMesa; on Debian: apt-get install libosmesa6",
        )
    os.environ["MUJOCO_GL"] = chosen


def draws(way: str) -> bool:
    """Whether MuJoCo can draw so; tried in a process and a folder of its own, for its libraries
    stay loaded after a failure, or crash, and MuJoCo logs into the folder that it is in."""
    variables = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    with tempfile.TemporaryDirectory(prefix="ecedge-") as folder:
        try:
            command = [sys.executable, "-c", PROBE, way]
            probe = subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, timeout=60
            )
        except subprocess.TimeoutExpired:
            return False
    return probe.returncode == 0
