"""`ecedge plot`: what runs are compared by, and what is said where they cannot be."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ecedge.cli import main
from ecedge.errors import UsageError
from ecedge.training.checkpoint import save_checkpoint
from ecedge.training.curve import (
    AXES,
    Run,
    common,
    draw_comparison,
    draw_population,
    groups_of,
    labels_of,
    new_figure,
    read_run,
    save_curves,
)
from ecedge.training.settings import Settings

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def entry_of(generation: int, offset: float = 0.0, pace: int = 1000) -> dict:
    return {
        "generation": generation,
        "steps": pace * (generation + 1),
        "mean": generation + offset,
        "best": generation + offset + 5,
        "worst": generation + offset - 5,
        "certainty": 0.5,
        "activity": 0.1,
        "evaluation": generation + offset + 1 if generation % 2 else None,
        "seconds": 0.5 * (generation + 1),
    }


def entries_of(count: int = 10, **more) -> list[dict]:
    return [entry_of(generation, **more) for generation in range(count)]


def make_run(folder: Path, settings: Settings | None = None, **more) -> Path:
    folder.mkdir(parents=True)
    lines = [json.dumps(entry) + "\n" for entry in entries_of(**more)]
    (folder / "log.jsonl").write_text("".join(lines))
    if settings:
        save_checkpoint(folder / "checkpoint.npz", settings, {})
    return folder


def run_of(name: str = "run", entries=None, **settings) -> Run:
    return Run(name, settings, entries or entries_of())


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder to be in, with four runs: two seeds of two populations."""
    monkeypatch.chdir(tmp_path)
    for population in (64, 256):
        for seed in (0, 1):
            settings = Settings("CartPole-v1", seed, population=population)
            make_run(tmp_path / f"p{population}-s{seed}", settings, offset=seed)
    return tmp_path


def ecedge(*words) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["ecedge", "plot", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


def comparison_of(groups, x="steps"):
    _, axes = new_figure(x, "")
    draw_comparison(axes, groups, x)
    return axes


# --- reading --------------------------------------------------------------------------------


def test_a_run_is_read_from_its_folder_or_its_log(place):
    assert read_run("p64-s1") == read_run("p64-s1/log.jsonl")
    run = read_run("p64-s1")
    assert (run.name, run.settings["population"], run.settings["seed"]) == ("p64-s1", 64, 1)


def test_a_log_alone_tells_what_its_folder_is_called(tmp_path):
    told = read_run(make_run(tmp_path / "Pendulum-v1-seed7"))
    assert told.settings == {"task": "Pendulum-v1", "seed": 7}
    assert read_run(make_run(tmp_path / "mine")).settings == {}


def test_a_checkpoint_of_no_use_does_not_cost_the_curve(tmp_path):
    folder = make_run(tmp_path / "Pendulum-v1-seed7")
    (folder / "checkpoint.npz").write_bytes(b"of another version")
    assert read_run(folder).settings == {"task": "Pendulum-v1", "seed": 7}


@pytest.mark.parametrize(
    "x, expected",
    [("steps", [1000, 2000, 3000]), ("seconds", [0.5, 1, 1.5]), ("generations", [1, 2, 3])],
)
def test_a_curve_lies_on_the_axis_that_was_asked_for(x, expected):
    run = run_of(entries=entries_of(3))
    assert run.axis(x).tolist() == expected
    place, evaluation = run.evaluations(x)
    assert (place.tolist(), evaluation.tolist()) == ([expected[1]], [2.0])


def test_a_declared_task_is_its_id_and_the_tables_of_its_file(tmp_path):
    file = {"id": "Hopper-v5", "physics": {"integrator": "Euler"}, "fitness": {"step_reward": -1}}
    settings = read_run(make_run(tmp_path / "mine", Settings(json.dumps(file)))).settings
    assert {key: settings[key] for key in ("task", "physics", "fitness")} == {
        "task": "Hopper-v5", "physics": {"integrator": "Euler"}, "fitness": {"step_reward": -1},
    }  # fmt: skip


# --- comparing ------------------------------------------------------------------------------


def test_labels_tell_what_differs_the_seed_last():
    runs = [
        run_of(task="A", seed=seed, population=population, neurons=128)
        for population in (64, 256)
        for seed in (0, 1)
    ]
    assert labels_of([[run] for run in runs]) == [
        "population 64, seed 0",
        "population 64, seed 1",
        "population 256, seed 0",
        "population 256, seed 1",
    ]
    assert labels_of([runs[:2], runs[2:]]) == [
        "population 64 (2 seeds)",
        "population 256 (2 seeds)",
    ]


def test_labels_that_would_be_alike_are_told_apart_by_names():
    twins = [[run_of("first", task="A", seed=0)], [run_of("second", task="A", seed=0)]]
    assert labels_of(twins) == ["first", "second"]
    assert labels_of([*twins, [run_of("third", task="A", seed=1)]]) == [
        "seed 0, first",
        "seed 0, second",
        "seed 1",
    ]


def test_a_run_that_went_longer_does_not_differ_by_that():
    runs = [
        run_of("a", task="A", seed=0, generations=10),
        run_of("b", task="A", seed=1, generations=20),
    ]
    assert groups_of(runs) == [runs]
    assert labels_of([[run] for run in runs]) == ["seed 0", "seed 1"]


def test_plants_that_differ_are_told_in_a_label_that_is_not_long():
    euler = run_of(task="A", seed=0, physics={"integrator": "Euler"})
    long = run_of(
        task="A", seed=0, physics={"integrator": "RK4", "tolerance": 1e-9, "solver": "CG"}
    )
    assert groups_of([euler, long]) == [[euler], [long]]
    assert labels_of([[euler], [long]]) == [
        "physics {'integrator': 'Euler'}",
        "physics {'integrator': 'RK4', 'tolerance': 1e...",
    ]


def test_runs_are_grouped_by_all_but_the_seed():
    a, b = (run_of(task="A", seed=seed, neurons=64) for seed in (0, 1))
    other, unknown, strange = run_of(task="A", seed=0, neurons=128), run_of("x"), run_of("y")
    assert groups_of([a, other, unknown, b, strange]) == [[a, b], [other], [unknown], [strange]]


def test_a_group_is_compared_where_every_run_has_got_to():
    slow = run_of(entries=entries_of(6, pace=1000))  # evaluated at 2000, 4000, 6000
    fast = run_of(entries=entries_of(6, pace=1500))  # evaluated at 3000, 6000, 9000
    places, returns = common([slow, fast], "steps")
    assert places.tolist() == [3000, 4000, 6000]
    np.testing.assert_allclose(returns, [[3, 4, 6], [2, 2 + 2 / 3, 4]])


def test_a_group_is_drawn_as_its_mean_within_its_range():
    runs = [run_of(entries=entries_of(4, offset=offset)) for offset in (0, 1, 5)]
    axes = comparison_of([runs])
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[2000, 4], [4000, 6]]
    (band,) = axes.collections
    height = band.get_paths()[0].vertices[:, 1]
    assert (height.min(), height.max()) == (2, 9)


def test_a_run_alone_is_drawn_with_its_populations_mean():
    evaluated, mean = comparison_of([[run_of()]]).get_lines()[::-1]
    assert len(evaluated.get_xdata()) == 5
    assert mean.get_ydata().tolist() == list(range(10))


@pytest.mark.parametrize("count", [2, 10, 11, 25])
def test_every_run_has_a_colour_of_its_own(count):
    axes = comparison_of([[run_of(f"run {number}")] for number in range(count)])
    assert len({line.get_color() for line in axes.get_lines()[1::2]}) == count


def test_one_run_is_drawn_with_its_population():
    _, axes = new_figure("steps", "")
    draw_population(axes, run_of(), "steps")
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["population, worst to best", "population, mean", "deterministic policy"]


# --- the verb -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", MAGIC)
@pytest.mark.parametrize("group", [[], ["--group"]], ids=["each", "grouped"])
def test_plot_writes_what_the_suffix_says(place, suffix, group):
    before = set(place.iterdir())
    code, out, err = ecedge("p64-s0", "p64-s1", "p256-s0", *group, "--out", f"all{suffix}")
    assert (code, out, err) == (0, f"all{suffix}\n", "")
    assert (place / f"all{suffix}").read_bytes().startswith(MAGIC[suffix])
    assert set(place.iterdir()) - before == {place / f"all{suffix}"}


def test_a_task_file_is_compared_with_its_stock_task(place):
    declared = json.dumps({"id": "CartPole-v1", "fitness": {"step_reward": 1.0}})
    make_run(place / "shaped", Settings(declared))
    assert ecedge("p64-s0", "shaped", "--out", "a.svg") == (0, "a.svg\n", "")
    assert "<!-- CartPole-v1 -->" in (place / "a.svg").read_text()


@pytest.mark.parametrize("x", AXES)
def test_plot_draws_one_run_against_every_axis(place, x):
    assert ecedge("p64-s0/log.jsonl", "--x", x)[:2] == (0, "curves.png\n")
    assert (place / "curves.png").read_bytes().startswith(MAGIC[".png"])


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["nowhere"], "There is no run nowhere. Give the folder of a run, or its log.jsonl."),
        (["."], ". holds no log.jsonl."),
        (["empty"], "empty/log.jsonl logs no generation."),
        (["foreign"], "foreign/log.jsonl is not a log of ecedge."),
        (["texts"], "texts/log.jsonl is not a log of ecedge."),
        (["lists"], "lists/log.jsonl is not a log of ecedge."),
        (["p64-s0", "pendulum"], "The runs are of different tasks: CartPole-v1, Pendulum-v1."),
        (["p64-s0", "--x", "days"], "There is no axis 'days'; there are steps, seconds, gene"),
        (["p64-s0", "--out", "a.txt"], "a.txt is no name of a picture. End it in .png, .svg, .pdf"),
        (["p64-s0", "--out", "no/a.png"], "Make the folder no first."),
        (
            ["p64-s0", "young", "--group"],
            "young has no evaluation yet. Leave out that run, or --group.",
        ),
        (["p64-s0", "late", "--group"], "The 2 runs like p64-s0 have no environment steps in com"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_of_plot_is_one_sentence_and_writes_nothing(place, words, complaint):
    make_run(place / "empty", count=0)
    make_run(place / "pendulum", Settings("Pendulum-v1"))
    make_run(place / "young", Settings("CartPole-v1", 2, population=64), count=1)
    make_run(place / "late", Settings("CartPole-v1", 3, population=64), pace=100_000)
    (place / "foreign").mkdir()
    (place / "foreign/log.jsonl").write_text('{"generation": 1, "loss": 0.5}\n')
    for name, steps in (("texts", "many"), ("lists", [1, 2])):
        (make_run(place / name) / "log.jsonl").write_text(
            json.dumps(entry_of(0) | {"steps": steps})
        )
    before = set(place.rglob("*"))
    code, out, err = ecedge(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert complaint in err
    assert set(place.rglob("*")) == before


def test_a_line_cut_short_by_a_power_cut_is_left_out(place):
    with open(place / "p64-s0/log.jsonl", "a") as log:
        log.write('{"generation": 10, "st')
    assert len(read_run("p64-s0").entries) == 10


def test_runs_of_a_library_user_are_held_to_the_same(tmp_path):
    with pytest.raises(UsageError, match="different tasks: A, B"):
        save_curves(tmp_path / "a.png", [run_of(task="A"), run_of(task="B")])
