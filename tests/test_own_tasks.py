"""Runs on tasks of the user's own, and how what they show is scaled."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import arguments, begin, ended, result, resume, start, train

from ecedge.errors import PolicyError, TrainingError
from ecedge.training.normaliser import CLIP, Moments, Normaliser, input_scale
from ecedge.training.settings import Settings

OWN = """
    import os
    import gymnasium
    import numpy as np
    from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

    def trouble(kind):
        return os.environ.get("OWN_TROUBLE") == kind

    class Drift(gymnasium.Env):
        '''Stay near 0; the trouble comes in the fifth step.'''
        observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        action_space = Box(-1.0, 1.0, (1,), np.float32)

        def reset(self, seed=None, options=None):
            super().reset(seed=seed)
            self.place = self.np_random.uniform(-1, 1, 2)
            self.steps = 0
            return self.place.astype(np.float32), {}

        def step(self, action):
            self.steps += 1
            self.place = 0.9 * self.place + 0.1 * float(action[0])
            observation, reward = self.place.astype(np.float32), -float(abs(self.place).sum())
            if self.steps == 5:
                for kind, value in (("nan", np.nan), ("inf", np.inf)):
                    if trouble(kind + " observation"):
                        observation[1] = value
                    if trouble(kind + " reward"):
                        reward = value
            return observation, reward, False, False, {}

    class Sentences(Drift):
        observation_space = gymnasium.spaces.Text(10)

    class Boundless(Drift):
        action_space = Box(-np.inf, np.inf, (1,), np.float32)

    class Switches(Drift):
        action_space = MultiBinary(3)

    for kind in (Drift, Sentences, Boundless, Switches):
        gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=10)
"""
DRIFT = Settings(
    "own:Drift-v0", generations=6, population=8, neurons=32, substeps=2, evaluate_every=1000,
    evaluation_episodes=2,
)  # fmt: skip


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A folder of modules with the user's `own` in it."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "own.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("own", None)


@pytest.mark.parametrize("kind", ["nan observation", "inf observation", "nan reward", "inf reward"])
def test_numbers_that_are_none_stop_the_run_and_keep_the_checkpoint(
    tmp_path, monkeypatch, own, kind
):
    train(DRIFT, tmp_path / "whole")
    folder = tmp_path / "run"
    begin(DRIFT, folder, 3)
    before = (folder / "checkpoint.npz").read_bytes()
    monkeypatch.setenv("OWN_TROUBLE", kind)
    with pytest.raises(TrainingError) as caught:
        resume(folder)
    assert str(caught.value) == (
        f"own:Drift-v0 gave {'an observation' if 'obs' in kind else 'a reward'} that is not a "
        "finite number. "
        "The checkpoint of the last generation is safe; repair the task, then resume."
    )
    assert (folder / "checkpoint.npz").read_bytes() == before
    monkeypatch.delenv("OWN_TROUBLE")
    resume(folder)
    assert result(folder) == result(tmp_path / "whole")


def test_a_users_task_trains_from_the_command_line(tmp_path, own):
    code, out, err = ended(start(*arguments(DRIFT), "--out", tmp_path / "run", folder=own))
    assert code == 0, err
    assert "own:Drift-v0: mean return" in out


def test_trouble_of_a_users_task_is_one_sentence(tmp_path, monkeypatch, own):
    monkeypatch.setenv("OWN_TROUBLE", "nan reward")
    code, out, err = ended(start(*arguments(DRIFT), "--out", tmp_path / "run", folder=own))
    assert (code, out) == (1, "")
    assert err == (
        "ecedge: own:Drift-v0 gave a reward that is not a finite number. "
        "The checkpoint of the last generation is safe; repair the task, then resume.\n"
    )


@pytest.mark.parametrize(
    "name, complaint",
    [
        ("Sentences", "observations of Text"),
        ("Boundless", "actions without finite bounds"),
        ("Switches", "actions of MultiBinary"),
    ],
)
def test_spaces_that_are_not_supported_are_one_sentence(tmp_path, own, name, complaint):
    folder = tmp_path / "run"
    code, out, err = ended(start(f"own:{name}-v0", "--out", folder, folder=own))
    assert (code, out) == (2, "")
    assert err.startswith("ecedge: ") and complaint in err
    assert "Observations may be Box or Discrete" in err
    assert len(err.splitlines()) == 1
    assert not folder.exists()


# --- the normaliser -------------------------------------------------------------------------


def see(normaliser: Normaliser, observations: np.ndarray) -> None:
    moments = Moments(len(observations), normaliser.mean)
    moments.add(slice(None), observations)
    normaliser.add(moments)


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_the_normaliser_has_numpys_mean_and_deviation(n_obs, counts, center, spread, seed):
    random = np.random.default_rng(seed)
    seen = [random.normal(center, spread, (count, n_obs)) for count in counts]
    normaliser = Normaliser(n_obs)
    for observations in seen:
        see(normaliser, observations)
    everything = np.concatenate(seen)
    assert normaliser.count == len(everything)
    if len(everything):
        tolerance = 1e-9 * (abs(center) + spread)
        np.testing.assert_allclose(normaliser.mean, everything.mean(axis=0), atol=tolerance)
        deviation = np.sqrt(normaliser.squares / normaliser.count)
        np.testing.assert_allclose(deviation, everything.std(axis=0), atol=tolerance)


def test_a_restored_normaliser_goes_on_to_the_same_bits():
    random = np.random.default_rng(1)
    whole, first, second = Normaliser(3), Normaliser(3), Normaliser(3)
    parts = [random.normal(size=(20, 3)).astype(np.float32) for _ in range(4)]
    for number, part in enumerate(parts):
        see(whole, part)
        see(first if number < 2 else second, part)
        if number == 1:
            second.restore({name: np.array(array) for name, array in first.state().items()})
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[name])


@given(
    st.floats(-100, 100),
    st.floats(0.01, 100),
    st.sampled_from([1, 4, 17, 348]),
    st.sampled_from([0.1, 0.3, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_the_frozen_map_quantises_close_to_the_ideal(mean, deviation, n_obs, input_gain):
    shift, gain = input_scale(input_gain, n_obs)
    random = np.random.default_rng(7)
    seen = random.normal(mean, deviation, (400, 1))
    normaliser = Normaliser(1)
    see(normaliser, seen)
    frozen = normaliser.freeze(gain)
    raw = frozen.encode(seen).astype(np.int64)
    q = (raw - frozen.offset) * frozen.multiplier
    q = (q + ((1 << frozen.shift) >> 1)) >> frozen.shift
    ideal = gain * (seen - seen.mean()) / seen.std()
    within = np.abs(ideal) < 127
    count = gain / (seen.std() * 2.0 ** frozen.exponent[0])  # in units of q
    coarse = 0.5 + count + 127 * 0.5 / frozen.multiplier[0]  # what rounding q, raw and offset, and
    assert np.abs(q - ideal)[within].max() < coarse + 0.01  # the multiplier may cost
    assert count < 0.5 or abs(mean) > 8 * deviation
    assert 0 <= shift <= 7
    assert shift == 0 or gain * CLIP <= 127


def test_a_map_of_observations_that_never_moved_is_off():
    normaliser = Normaliser(2)
    see(normaliser, np.array([[1.0, 5.0], [2.0, 5.0]]))
    assert list(normaliser.freeze(20.0).multiplier > 0) == [True, False]


def test_before_any_observation_the_deviation_counts_as_one():
    frozen = Normaliser(1).freeze(20.0)
    raw = frozen.encode(np.array([1.0]))
    assert abs(int(raw[0] * frozen.multiplier[0]) / 2 ** int(frozen.shift[0]) - 20.0) < 0.5


def test_an_observation_that_is_no_number_never_becomes_a_count():
    with pytest.raises(PolicyError):
        Normaliser(1).freeze(20.0).encode(np.array([np.nan]))
