"""`ecedge watch` and its films: what they show, and what is said where none can be made."""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from PIL import Image

from ecedge import film, reference
from ecedge.cli import main
from ecedge.engine import CoreNetwork
from ecedge.errors import ToolError
from ecedge.film import COLUMNS, play, save_film
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.policy_file import PolicyInfo, save_policy
from ecedge.tasks import find_task

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(find_spec("pygame") is None, reason="pip install 'ecedge[watch]'")
needs_mujoco = pytest.mark.skipif(
    find_spec("mujoco") is None, reason="pip install 'ecedge[mujoco]'"
)


def policy_for(task, n_neurons=32, substeps=4, **more) -> Policy:
    spec = NetworkSpec(
        task.n_obs, task.n_act, n_neurons, substeps=substeps, actions=task.actions, **more
    )
    words = np.random.default_rng(1).integers(0, 1 << 32, spec.n_words, dtype=np.uint32)
    unit = ObservationMap.from_statistics(np.zeros(task.n_obs), np.ones(task.n_obs), 40.0)
    return reference.with_golden_trace(Policy(spec, unit, words), steps=2)


@pytest.fixture(scope="module")
def cart_pole():
    return find_task("CartPole-v1")


@pytest.fixture
def place(tmp_path, monkeypatch, cart_pole) -> Path:
    """A folder to be in, with a policy for CartPole that knows nothing."""
    monkeypatch.chdir(tmp_path)
    save_policy("policy.onnx", policy_for(cart_pole), PolicyInfo("CartPole-v1"))
    return tmp_path


class Dying(gymnasium.Env):
    """An environment that breaks in its third step."""

    metadata = {"render_fps": 50, "render_modes": ["rgb_array"]}
    observation_space = gymnasium.spaces.Box(-1, 1, (4,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.steps = 0

    def reset(self, seed=None, options=None):
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            raise ValueError("a leg came off")
        return np.zeros(4, np.float32), 1.0, False, False, {}

    def render(self):
        return np.zeros((60, 80, 3), np.uint8)


class Still:
    """An environment that gives one observation for ever."""

    metadata = {"render_fps": 50}
    picture = np.zeros((60, 80, 3), np.uint8)

    def reset(self, seed):
        return np.full(4, 0.3), {}

    def step(self, action):
        return np.full(4, 0.3), 1.5, False, False, {}

    def render(self):
        return self.picture

    def close(self):
        pass


def frames_of(path: Path) -> list[np.ndarray]:
    """(height, width, 3) uint8 each."""
    if path.suffix == ".gif":
        with Image.open(path) as picture:
            frames = []
            for number in range(picture.n_frames):
                picture.seek(number)
                frames.append(np.array(picture.convert("RGB")))
            return frames
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def ecedge(*words) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["ecedge", "watch", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


# --- what a film shows ----------------------------------------------------------------------


@pytest.mark.parametrize("n_neurons, substeps", [(32, 4), (64, 16), (128, 64)])
def test_the_raster_holds_every_spike_that_the_core_counts(cart_pole, n_neurons, substeps):
    policy = policy_for(cart_pole, n_neurons, substeps)
    core = CoreNetwork(policy)
    core.reset()
    raw = policy.observation_map.encode(np.full(4, 0.3))
    for scene in play(Still(), policy, cart_pole, seed=0, steps=20, every=1):
        core.step(raw)
        newest = scene.spikes[-substeps:]
        assert scene.spikes.shape == (COLUMNS, n_neurons)
        assert newest.sum() == core.spike_count
        spikes = core.state()[2 * n_neurons : 2 * n_neurons + n_neurons // 8]
        assert np.packbits(newest[-1], bitorder="little").tobytes() == spikes


def test_the_raster_scrolls_by_the_substeps_of_a_step(cart_pole):
    scenes = list(play(Still(), policy_for(cart_pole), cart_pole, seed=0, steps=200, every=1))
    for before, after in itertools.pairwise(scenes):
        assert (before.spikes[4:] == after.spikes[:-4]).all()


def test_groups_of_neurons_have_colours_of_their_own(cart_pole):
    spec = replace(policy_for(cart_pole).spec, n_exc=12)
    raster = film.draw_raster(spec, np.ones((COLUMNS, 32), np.uint8), 64)
    assert raster.shape == (64, COLUMNS, 3)
    assert (raster[: 2 * 12] == film.EXCITATORY).all()
    assert (raster[2 * 12 :] == film.INHIBITORY).all()
    assert (film.draw_raster(spec, np.zeros((COLUMNS, 32), np.uint8), 64) == film.DARK).all()


def test_a_scene_follows_every_nth_step_and_the_last(cart_pole):
    scenes = play(Still(), policy_for(cart_pole), cart_pole, seed=0, steps=8, every=3)
    told = [(scene.step, scene.total, scene.ended) for scene in scenes]
    assert told == [(3, 4.5, False), (6, 9.0, False), (8, 12.0, False)]


def test_the_return_is_that_of_the_engine_in_the_stock_environment(place, cart_pole):
    policy = policy_for(cart_pole)
    core, environment, total = CoreNetwork(policy), cart_pole.make_single(), 0.0
    core.reset()
    observation, _ = environment.reset(seed=3)
    ended = False
    while not ended:
        output = core.step(policy.observation_map.encode(observation))
        observation, reward, terminated, truncated, _ = environment.step(int(output.argmax()))
        total += reward
        ended = terminated or truncated
    environment.close()
    made = save_film("film.gif", policy, cart_pole, seed=3)
    assert (made.total, made.steps, made.ended) == (total, int(total), True)


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_film_is_as_long_as_it_says(place, cart_pole, name):
    made = save_film(name, policy_for(cart_pole), cart_pole, steps=6, every=2)
    frames = frames_of(place / name)
    assert len(frames) == made.frames == 3
    assert made.fps == 25  # CartPole has 50 steps a second
    height, width, _ = frames[0].shape
    assert (height % 2, width % 2) == (0, 0)
    assert width > 600 + COLUMNS  # plant and raster
    assert len({frame.tobytes() for frame in frames}) == 3
    assert sorted(path.name for path in place.iterdir()) == [name, "policy.onnx"]


@pytest.mark.parametrize("fps", [0.1, 25, 30, 40, 50])
def test_a_gif_tells_the_pace_that_it_shows(place, cart_pole, fps):
    made = save_film("film.gif", policy_for(cart_pole), cart_pole, steps=2, every=1, fps=fps)
    with Image.open(place / "film.gif") as picture:
        assert made.fps == 1000 / picture.info["duration"]
    assert made.fps == pytest.approx(fps, rel=0.25)


@pytest.mark.parametrize("name", ["CartPole-v1", pytest.param("Hopper-v5", marks=needs_mujoco)])
def test_a_film_needs_no_screen_and_no_word_is_said_of_it(place, name):
    task = find_task(name)
    save_policy("policy.onnx", policy_for(task), PolicyInfo(task.id, task.low, task.high))
    chosen = {*film.SCREENS, "MUJOCO_GL", "PYOPENGL_PLATFORM", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"}
    bare = {key: value for key, value in os.environ.items() if key not in chosen}
    # In a process of its own, because OpenGL is chosen once in a process.
    command = [sys.executable, "-m", "ecedge", "watch", "policy.onnx", "--steps", "3", "--json"]
    done = subprocess.run(
        [*command, "--every", "1", "--fps", "25", "--out", "film.gif"],
        capture_output=True,
        text=True,
        timeout=120,
        env=bare | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 3
    plant = frames_of(place / "film.gif")[0][film.LINE :, film.MARGIN :][:400, :480]
    assert plant.std() > 10  # something is to be seen


# --- the verb -------------------------------------------------------------------------------


def test_watch_films_beside_the_policy_and_tells_its_result_as_json(place):
    pytest.importorskip("imageio_ffmpeg")
    code, out, err = ecedge("policy.onnx", "--steps", 4, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result == {
        "film": "watch.mp4", "return": 4.0, "steps": 4, "ended": False, "frames": 2, "fps": 25.0,
    }  # fmt: skip
    assert (place / "watch.mp4").stat().st_size > 0


def test_watch_tells_a_person_what_was_filmed(place):
    code, out, _ = ecedge("policy.onnx", "--steps", 4, "--out", "a.gif", "--seed", 5)
    assert code == 0
    assert out == (
        "a.gif: 2 frames at 25 a second\nCartPole-v1, seed 5: return 4.0 after 4 steps, cut there\n"
    )


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--out", "film.avi"], "film.avi is no name of a film. End it in .mp4 or .gif."),
        (["--out", "no/film.gif"], "Make the folder no first."),
        (["--steps", "0"], "steps is 0; it is more than 0."),
        (["--every", "-1"], "every is -1"),
        (["--fps", "0"], "fps is 0"),
        (["--fps", "inf"], "fps is inf; it is from 0.1 to 1000."),
        (["--fps", "0.0001", "--out", "film.gif"], "fps is 0.0001; it is from 0.1 to 1000."),
        (["--fps", "60", "--out", "film.gif"], "at most 50 frames a second"),
        (["--seed", "-1"], "A seed is a number from 0"),
        (["--task", "Pendulum-v1"], "does not fit Pendulum-v1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_of_watch_is_one_sentence_and_writes_nothing(place, words, complaint):
    code, out, err = ecedge("policy.onnx", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert complaint in err
    assert [path.name for path in place.iterdir()] == ["policy.onnx"]


def test_a_task_without_a_step_limit_is_filmed_for_the_steps_given(place, monkeypatch):
    monkeypatch.setitem(gymnasium.registry, "Dying-v0", EnvSpec("Dying-v0", Dying))
    words = "policy.onnx", "--task", "Dying-v0", "--out", "film.gif"
    assert "Dying-v0 has no step limit" in ecedge(*words)[2]
    code, out, err = ecedge(*words, "--steps", 2)
    assert (code, err) == (0, "")
    assert "return 2.0 after 2 steps, cut there" in out


def test_a_policy_without_a_task_is_one_sentence(place, cart_pole):
    save_policy("policy.onnx", policy_for(cart_pole), PolicyInfo(""))
    told = (
        ([], "policy.onnx does not name its task. Name it with --task."),
        (["--task", "Pendulum-v1"], "policy.onnx does not fit Pendulum-v1."),
    )
    for words, complaint in told:
        assert ecedge("policy.onnx", *words) == (2, "", f"ecedge: {complaint}\n")


# --- what may be missing --------------------------------------------------------------------


def test_a_missing_ffmpeg_is_told_with_its_command(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    code, _, err = ecedge("policy.onnx")
    assert code == 2
    assert "imageio-ffmpeg, which is not installed. Install it with: pip install 'ecedge[wat" in err
    assert not (place / "watch.mp4").exists()


def test_an_ffmpeg_that_is_not_there_is_told(place, monkeypatch):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr(ffmpeg, "get_ffmpeg_exe", Mock(side_effect=RuntimeError("No ffmpeg")))
    code, _, err = ecedge("policy.onnx")
    assert (code, err) == (2, "ecedge: MP4 needs ffmpeg, which is not installed. "
                              "Install it, or write a .gif.\n")  # fmt: skip


def test_an_ffmpeg_that_dies_is_one_sentence(place, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    code, out, err = ecedge("policy.onnx")
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert "ffmpeg cannot write the film: " in err


def test_ffmpeg_says_nothing_of_a_film_that_a_broken_task_ends(place, monkeypatch, capfd):
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setitem(
        gymnasium.registry, "Dying-v0", EnvSpec("Dying-v0", Dying, max_episode_steps=9)
    )
    code, _, err = ecedge("policy.onnx", "--task", "Dying-v0", "--every", 1)
    assert (code, len(err.splitlines())) == (1, 1), err
    assert "Dying-v0 failed: ValueError: a leg came off." in err
    assert capfd.readouterr().err == ""  # where ffmpeg, a process of its own, would complain


def test_a_missing_pygame_is_told_with_its_command(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    code, _, err = ecedge("policy.onnx", "--out", "film.gif")
    assert code == 2
    assert "CartPole-v1 cannot be drawn: pygame is not installed" in err
    assert err.endswith("pip install 'ecedge[watch]'\n")


def test_a_task_without_pictures_is_told(place, monkeypatch, cart_pole):
    monkeypatch.setattr(Still, "picture", None)
    with pytest.raises(film.TaskError, match="CartPole-v1 draws no pictures"):
        list(play(Still(), policy_for(cart_pole), cart_pole, seed=0, steps=1, every=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the choice")
def test_where_no_opengl_works_it_is_told_what_to_install(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(film, "draws", lambda way: False)
    with pytest.raises(ToolError, match="apt-get install libosmesa6"):
        film.choose_gl()
    assert "MUJOCO_GL" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the choice")
@pytest.mark.parametrize("works, chosen", [({"osmesa"}, "osmesa"), ({"egl", "osmesa"}, "egl")])
def test_the_first_opengl_that_works_is_chosen(monkeypatch, works, chosen):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(film, "draws", works.__contains__)
    film.choose_gl()
    assert os.environ["MUJOCO_GL"] == chosen


def test_the_users_own_choice_of_opengl_stands(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.setattr(film, "draws", lambda way: pytest.fail("nothing is to be tried"))
    film.choose_gl()
    assert os.environ["MUJOCO_GL"] == "glfw"


@needs_mujoco
def test_a_way_to_draw_that_is_none_does_not_work():
    assert not film.draws("no_such_way")
