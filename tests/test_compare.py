"""`ecedge compare`: rivals on one budget, in ordinary runs that go on."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ecedge.cli import main
from ecedge.errors import UsageError
from ecedge.tasks import find_task
from ecedge.training.compare import judge, open_run, runs_of, table
from ecedge.training.kinds import KINDS
from ecedge.training.log import read_log
from ecedge.training.settings import Settings
from ecedge.training.trainer import Trainer

WORDS = (
    "CartPole-v1", "--steps", "2e3", "--seeds", "2", "--population", "8", "--neurons", "32",
    "--evaluation-episodes", "2", "--threads", "1",
)  # fmt: skip
SETTINGS = Settings(
    "CartPole-v1", steps=2000, population=8, neurons=32, evaluation_episodes=2, horizon=50
)


def compare(*words) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr("sys.argv", ["ecedge", "compare", *map(str, words)])
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("compared") / "runs"
    code, out, err = compare(*WORDS, "--out", folder, "--json")
    assert code == 0, err
    return {"folder": folder, **json.loads(out)}


def test_every_kind_and_seed_is_run_on_the_same_budget(told):
    pairs = [(run["kind"], run["seed"]) for run in told["runs"]]
    assert sorted(pairs) == sorted((kind, seed) for kind in KINDS for seed in (0, 1))
    for run in told["runs"]:
        log = read_log(told["folder"] / f"{run['kind']}-seed{run['seed']}" / "log.jsonl")
        assert run["steps"] == log[-1]["steps"] >= 2000 > log[-2]["steps"]
        assert run["generations"] == len(log) and run["episodes"] == 2


def test_a_comparison_is_drawn(told):
    assert told["picture"] == str(told["folder"] / "compare.png")
    assert (told["folder"] / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_command_again_trains_nothing_and_tells_the_same(told):
    logs = {path: path.read_bytes() for path in told["folder"].glob("*/log.jsonl")}
    code, out, err = compare(*WORDS, "--out", told["folder"], "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["runs"] == told["runs"]
    assert {path: path.read_bytes() for path in logs} == logs


def test_the_table_has_a_line_for_every_kind(told):
    code, out, _ = compare(*WORDS, "--out", told["folder"], "--networks", "gru,one-bit")
    lines = out.splitlines()
    assert code == 0
    assert [line.split("|")[1].strip() for line in lines[:4]] == [
        "network", "---", "gru", "one-bit",
    ]  # fmt: skip
    assert lines[2].split("|")[-2].strip() == "", "a GRU has no spikes"
    assert "by formula" in out


def test_a_run_cut_short_goes_on_to_the_same_bits(tmp_path):
    (settings, _), *_ = runs_of(SETTINGS, ["rsnn"], 1, tmp_path)
    for number, _ in enumerate(Trainer(settings, tmp_path / "rsnn-seed0", 1)):
        if number == 2:
            break
    trainers = [open_run(settings, tmp_path / name, 1) for name in ("rsnn-seed0", "whole")]
    outcomes = []
    for trainer in trainers:
        for _ in trainer:
            pass
        outcomes.append(replace(judge(trainer, 1), folder=""))
    assert outcomes[0] == outcomes[1]
    assert table(outcomes[:1]).count("\n") == 2


def test_a_larger_budget_goes_on_with_a_run(tmp_path):
    for steps in (1000, 2500):
        (settings, folder), *_ = runs_of(replace(SETTINGS, steps=steps), ["gru"], 1, tmp_path)
        trainer = open_run(settings, folder, 1)
        before = trainer.steps
        for _ in trainer:
            pass
        assert before < steps <= trainer.steps
    assert before >= 1000


def test_a_run_of_other_settings_is_left_alone(told):
    code, out, err = compare(*WORDS, "--population", 10, "--out", told["folder"])
    assert (code, out) == (2, "")
    assert "holds a run of other settings: population 8, not 10" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--networks", "one-bit,forest"], "no kind of network 'forest'"),
        (["--networks", "gru,gru"], "named once"),
        (["--seeds", 0], "0 seeds are no comparison"),
        (["--steps", 0], "cannot be done"),
        (["--steps", "nan"], "cannot be done"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_written(tmp_path, words, complaint):
    code, out, err = compare(*WORDS, *words, "--out", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert complaint in err
    assert not (tmp_path / "runs").exists()


def test_a_task_file_is_compared_and_not_needed_again(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    file = tmp_path / "tasks" / "quick.toml"
    file.write_text('id = "CartPole-v1"\n[vary]\naction_delay = { steps = [0, 1] }\n')
    monkeypatch.chdir(tmp_path)
    code, _, err = compare("tasks/quick.toml", *WORDS[1:], "--networks", "one-bit", "--seeds", 1)
    assert code == 0, err
    file.unlink()
    run = tmp_path / "runs" / "compare-quick" / "one-bit-seed0"
    for _ in Trainer.resume(run, 1, steps=2500):
        pass
    assert read_log(run / "log.jsonl")[-1]["varied"] is not None


def test_a_comparison_needs_a_budget(tmp_path):
    with pytest.raises(UsageError, match="needs a budget"):
        runs_of(replace(SETTINGS, steps=None), ["gru"], 1, tmp_path)


def test_costs_are_what_the_formulas_say():
    settings = Settings("CartPole-v1", neurons=64, substeps=10)
    task = find_task("CartPole-v1")  # 4 observations, 2 outputs
    cost = {name: kind(settings, task).cost(0.05) for name, kind in KINDS.items()}
    spikes = 0.05 * 64 * 10
    assert cost["one-bit"].weight_bytes == (8 + 64 + 2) * 64 // 8
    assert cost["one-bit"].additions == 8 * 64 + spikes * (64 + 2)
    assert cost["one-bit"].multiplies == 4
    assert cost["rsnn"].weight_bytes == 4 * (4 + 64 + 2) * 64
    assert cost["rsnn"].additions == 4 * 64 + spikes * (64 + 2)
    assert cost["rsnn"].multiplies == 4 + 4 * 64 + 2 * 64 * 10 + 2 * 10
    assert cost["gru"].weight_bytes == 4 * (3 * 64 * (4 + 64 + 1) + 64 + 65 * 2)
    assert cost["gru"].additions == 3 * 64 * (4 + 64) + 64 * 2
    assert cost["lstm"].multiplies == 4 + 4 * 64 * (4 + 64) + 64 * 2 + 3 * 64
    assert cost["mlp"].weight_bytes == 4 * (64 * (4 + 1) + 64 * (64 + 1) + 65 * 2)
    assert cost["mlp"].multiplies == 4 + 64 * 4 + 64 * 64 + 64 * 2


def test_a_sweep_goes_on_with_runs_of_fewer_steps(tmp_path):
    root = Path(__file__).parent.parent
    told = []
    for steps in ("1e3", "2e4", "1e3"):
        words = f"--tasks CartPole-v1 --only base --seeds 1 --workers 1 --steps {steps}"
        done = subprocess.run(
            [sys.executable, root / "bench/sweep.py", *words.split(), "--out", tmp_path],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        assert done.returncode == 0, done.stderr
        told.append(json.loads((tmp_path / "sweep.jsonl").read_text()))
    assert 1000 <= told[0]["steps"] < 20000 <= told[1]["steps"]
    assert told[2] == told[1]


def test_formats_are_compared_on_the_same_first_generation(tmp_path):
    """Before anything is learned, wider state sees the same members: most fare alike."""
    root = Path(__file__).parent.parent
    words = "--tasks CartPole-v1 --seeds 1 --steps 600 --population 16 --neurons 32 --episodes 2"
    done = subprocess.run(
        [sys.executable, root / "bench/formats.py", *words.split(), "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in (tmp_path / "formats.jsonl").read_text().splitlines()]
    assert [run["format"] for run in runs] == ["int8", "int16", "float64"]
    assert all(run["steps"] >= 600 for run in runs)
    first = [read_log(Path(run["folder"]) / "log.jsonl")[0] for run in runs]
    means = [entry["mean"] for entry in first]
    assert max(means) - min(means) < 0.5 * min(means)
    assert "| CartPole-v1 | float64 |" in done.stdout
