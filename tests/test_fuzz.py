"""The fuzzers of tests/fuzz find nothing in the core, and find each mistake that is made in it."""

import shutil

import fuzzing
import pytest

SECONDS = 10  # `make fuzz` takes longer
SECONDS_TO_FIND = 30

#: fuzzer, file of the core, what is right there, what would be wrong
MISTAKES = {
    "overlong frames are written on": (
        "device", "ec_frame.c", "receiver->length == receiver->capacity", "false",
    ),
    "silence leaves the plant as it is": (
        "device", "ec_device.c", "ec_device_enter(device, EC_MODE_SAFE);",
        "device->mode = EC_MODE_SAFE;",
    ),
    "an episode that was ended still runs": (
        "device", "ec_device.c", "ec_episode_stop(&device->episode, EC_END_STOPPED);", ";",
    ),
    "a generation never ends": (
        "device", "ec_learn.c", "learner->learned == evolve->n_words", "false",
    ),
    "practice goes on when its host falls silent": (
        "device", "ec_device.c", "bool is_led = practises || ", "bool is_led = ",
    ),
    "practice has one generation more than it has room for": (
        "device", "ec_device_practice.c", "terms.generations > learner->records_most",
        "terms.generations > learner->records_most + 1",
    ),
    "a plant moves on between members": (
        "device", "ec_device_practice.c",
        "bool fault = device->episode.end == EC_END_FAULT;\n    ec_device_make_safe(device);",
        "bool fault = device->episode.end == EC_END_FAULT;",
    ),
    "repeats are carried out": (
        "device", "ec_device.c", "sequence == device->sequence", "false",
    ),
    "uploads run over their memory": (
        "device", "ec_device.c", "length > upload->size - received", "false",
    ),
    "blocks come from too far ahead": (
        "device", "ec_upload.c", "ahead >= EC_UPLOAD_WINDOW || ", "",
    ),
    "the last block is as long as the others": (
        "device", "ec_upload.c", "length_at(upload, upload->received);", "upload->block;",
    ),
    "a cut image is opened": ("policy", "ec_policy.c", "size < image_size", "false"),
    "golden traces are as long as they like": (
        "policy", "ec_policy.c", "ec_get16(h + 30) > EC_GOLDEN_STEPS_MOST", "false",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Compiled files of the core, for all tests: a mistake changes one."""
    return tmp_path_factory.mktemp("objects")


@pytest.mark.parametrize("fuzzer", fuzzing.FUZZERS)
def test_the_fuzzer_finds_nothing(tmp_path, objects, fuzzer):
    program = fuzzing.build(fuzzer, tmp_path, objects=objects)
    result = fuzzing.fuzz(fuzzer, program, tmp_path, SECONDS)
    assert result.finding is None, result.words[-4000:]
    assert result.executions > 1000


@pytest.mark.parametrize("name", MISTAKES)
def test_the_fuzzer_finds_a_mistake_that_was_made_for_it(tmp_path, objects, name):
    fuzzer, file, right, wrong = MISTAKES[name]
    core = tmp_path / "core"
    shutil.copytree(fuzzing.CORE, core)
    text = (core / file).read_text()
    assert text.count(right) == 1
    (core / file).write_text(text.replace(right, wrong))
    program = fuzzing.build(fuzzer, tmp_path, core, objects)
    assert fuzzing.fuzz(fuzzer, program, tmp_path, SECONDS_TO_FIND).finding is not None
