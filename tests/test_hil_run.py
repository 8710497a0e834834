"""Test runs over the devices of a rig: who passes, who does not and why, and what a run leaves."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import (
    Server,
    assert_misuse,
    ecedge,
    fake_device,
    hello_of,
    plug_in,
    policy_of,
    results_of,
)

from ecedge import testrun
from ecedge.devices import connect_running, parse_device, run_board
from ecedge.errors import (
    AbiMismatch,
    BoardError,
    DeviceRefused,
    LineLost,
    LinkError,
    NoDevice,
    RigError,
    StorageError,
    TaskError,
    ToolError,
    UsageError,
)
from ecedge.hil import Episode, Step
from ecedge.link import (
    DeviceMode,
    ErrorCode,
    Faults,
    FrameReader,
    MessageType,
    Packet,
    Port,
    Proxy,
    Transport,
    encode_frame,
    open_transport,
)
from ecedge.link import device as link_device
from ecedge.link.codec import REPLY_BIT
from ecedge.link.device import Patience
from ecedge.link.messages import Hello, StepReply, pack_refusal
from ecedge.policy_file import PolicyInfo, save_policy
from ecedge.rig import parse_rig
from ecedge.tasks import find_task
from ecedge.testrun import Attempt, Entry, Outcome, Plan, Quarantine, run_rig
from ecedge.testrun.page import save_page
from ecedge.testrun.quarantine import parse_quarantine
from ecedge.testrun.results import outcome_of

DEADLINE = 10.0  # seconds for what should take none
TASK = find_task("CartPole-v1")
POLICY = policy_of()
NOBODY = Quarantine(Path("quarantine.toml"))
RIG = """
[devices.left]
board = "virtual"
usb_serial = "5573"
[devices.right]
emulate = "virtual"
"""


@pytest.fixture(scope="module")
def line() -> Iterator[Transport]:
    """The line to a virtual device, for who stands between it and a host."""
    with run_board(parse_device("virtual")) as running:
        transport = connect_running(running)
        yield transport
        transport.close()


Change = Callable[[Packet], bytes | None]


def between(line: Transport, change: Change) -> Callable[[bytes], bytes]:
    """Passes requests on to the device, and its replies back with the payload that `change` makes
    of them, behind a right CRC; None: the reply is lost."""
    requests = FrameReader()

    def answer(data: bytes) -> bytes:
        back = b""
        for request in requests.feed(data):
            line.write(encode_frame(request))
            if request.type == MessageType.UPLOAD_BLOCK:
                continue  # the one that nobody answers
            replies, reader = [], FrameReader()
            while not replies:
                replies = [p for p in reader.feed(line.read(1.0)) if p.answers(request)]
            payload = change(replies[0])
            if payload is not None:
                back += encode_frame(replace(replies[0], payload=payload))
        return back

    return answer


def on_steps(change: Callable[[int, bytes], bytes | None]) -> Change:
    """`change` with the number of the step since the device was asked for the first time."""
    steps = 0

    def changed(reply: Packet) -> bytes | None:
        nonlocal steps
        if reply.type != MessageType.STEP | REPLY_BIT:
            return reply.payload
        steps += 1
        return change(steps, reply.payload)

    return changed


@pytest.fixture
def left(monkeypatch, line):
    """Call it with a change of replies: the port of the rig's `left` is a device that makes it."""
    with contextlib.ExitStack() as stack:

        def plugged(change: Change = lambda reply: reply.payload) -> Server:
            server = stack.enter_context(Server(between(line, change)))
            plug_in(monkeypatch, Port(server.url, "2341:0043", "5573"))
            return server

        yield plugged


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(link_device, "USUAL_PATIENCE", Patience(0.25, 4))
    monkeypatch.setattr("ecedge.testrun.schedule.RETURN_DEADLINE", 0.2)
    monkeypatch.setattr("ecedge.testrun.schedule.RETURN_PAUSE", 0.05)


THREE = Plan(episodes=3)


def run(*names: str, plan: Plan = THREE, held: Quarantine = NOBODY, **options) -> testrun.TestRun:
    desk = parse_rig(RIG)
    chosen = [device for device in desk.devices if device.name in names]
    return run_rig(desk, chosen, POLICY, TASK, plan, held, **options)


def flip_output(at: int) -> Change:
    """A device that gets one bit of the output wrong in its step `at`, from 1."""
    offset = StepReply.LAYOUT.size

    def flipped(step: int, payload: bytes) -> bytes:
        wrong = bytearray(payload)
        wrong[offset] ^= step == at
        return bytes(wrong)

    return on_steps(flipped)


def silent_from(step: int) -> Change:
    """A device that is not heard from its step `step` on, until a host connects anew."""
    steps, silent = 0, False

    def changed(reply: Packet) -> bytes | None:
        nonlocal steps, silent
        steps += reply.type == MessageType.STEP | REPLY_BIT
        silent = reply.type != MessageType.HELLO | REPLY_BIT and (silent or steps == step)
        return None if silent else reply.payload

    return changed


# --- how devices come out -------------------------------------------------------------------


def test_devices_pass_with_the_same_returns(left):
    left()
    result = run("left", "right")
    assert [device.outcome for device in result.devices] == [Outcome.PASSED] * 2
    one, other = ([e.total for e in device.episodes] for device in result.devices)
    assert one == other and len(one) == 3
    assert [device.differing_bits for device in result.devices] == [0, 0]
    assert result.passed


def test_a_flipped_output_bit_is_a_wrong_result_and_not_tried_again(left):
    left(flip_output(5))
    result = run("left", "right")
    wrong, right = result.devices
    assert (wrong.outcome, right.outcome) == (Outcome.WRONG, Outcome.PASSED)
    assert wrong.message == "It differs from the host twin by 1 bit, from step 4 on."
    assert len(wrong.attempts) == 1 and len(wrong.episodes) == 3
    assert not result.passed


def test_a_return_that_is_too_low_is_a_wrong_result(left):
    left()
    (device,) = run("left", plan=Plan(episodes=2, at_least=1000)).devices
    assert device.outcome is Outcome.WRONG
    assert device.message.endswith("less than 1000.")


def test_a_lost_device_begins_its_episode_anew(left, impatient):
    left()
    clean = run("left")
    first = len(clean.devices[0].episodes[0].steps)
    left(silent_from(first + 3))
    (device,) = run("left").devices
    assert device.outcome is Outcome.PASSED
    assert [attempt.outcome for attempt in device.attempts] == [Outcome.LINK, Outcome.PASSED]
    assert [number for number, _ in device.losses] == [1]
    assert [e.total for e in device.episodes] == [e.total for e in clean.devices[0].episodes]


def test_a_device_that_is_lost_each_time_is_a_link_error(left, impatient):
    left(on_steps(lambda step, payload: None))
    (device,) = run("left", plan=Plan(episodes=2, retries=1)).devices
    assert device.outcome is Outcome.LINK
    assert len(device.attempts) == 2
    assert "did not answer STEP" in device.message


def test_a_device_that_is_lost_when_all_is_done_has_passed(left, impatient):
    left(lambda reply: None if reply.type == MessageType.STOP | REPLY_BIT else reply.payload)
    (device,) = run("left", plan=Plan(episodes=1, retries=0)).devices
    assert device.outcome is Outcome.PASSED and len(device.attempts) == 1


def with_chip(chip: int) -> Change:
    """A device whose HELLO tells another chip id."""

    def changed(reply: Packet) -> bytes:
        if reply.type != MessageType.HELLO | REPLY_BIT:
            return reply.payload
        return replace(Hello.unpack(reply.payload), chip_id=f"{chip:032x}").pack()

    return changed


def test_devices_that_are_found_by_asking_do_not_keep_each_other_out(line, monkeypatch):
    """Ports let one in at a time, as serial ones do."""
    monkeypatch.setitem(link_device.PATIENCE, MessageType.HELLO, Patience(0.5, 2, 0.5))
    in_use = set()

    def open_exclusively(port, baud=None):
        if port in in_use:
            raise NoDevice(f"Cannot open {port}: another program has it open.")
        in_use.add(port)
        transport = open_transport(port, baud)
        close = transport.close
        transport.close = lambda: (in_use.discard(port), close())
        return transport

    monkeypatch.setattr("ecedge.devices.open_transport", open_exclusively)
    rig = "".join(
        f"[devices.d{chip}]\nboard = 'virtual'\nchip_id = '{chip:032x}'\n" for chip in (1, 2)
    )
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(run_board(parse_device("virtual")))
        other = connect_running(running)
        stack.callback(other.close)
        lines = ((line, 1), (other, 2))
        servers = [stack.enter_context(Server(between(way, with_chip(n)))) for way, n in lines]
        plug_in(monkeypatch, *(Port(server.url) for server in servers))
        desk = parse_rig(rig)
        result = run_rig(desk, desk.devices, POLICY, TASK, Plan(episodes=1), NOBODY)
    assert [(d.outcome, d.message) for d in result.devices] == [(Outcome.PASSED, "")] * 2


def test_a_bad_line_changes_no_bit_and_no_return(left, monkeypatch, line):
    server = left()
    clean = [e.total for e in run("left").devices[0].episodes]
    faults = Faults(drop=0.001, flip=0.001, cut=0.0002)
    with Proxy(server.url, faults, seed=5) as proxy:
        serving = threading.Thread(target=proxy.serve)
        serving.start()
        plug_in(monkeypatch, Port(proxy.url, "2341:0043", "5573"))
        (device,) = run("left", plan=Plan(episodes=3, retries=20)).devices
        proxy.stop()
        serving.join(DEADLINE)
    assert sum(proxy.counts.values()) > 0
    assert device.outcome is Outcome.PASSED
    assert [e.total for e in device.episodes] == clean


def refusing(code: ErrorCode, detail: int = 0) -> Callable[[bytes], bytes]:
    """A virtual board that says who it is, and refuses the policy at last."""
    reader, received = FrameReader(), 0

    def answer(data: bytes) -> bytes:
        nonlocal received
        back = b""
        for request in reader.feed(data):
            match request.type:
                case MessageType.HELLO:
                    payload = hello_of(board="virtual").pack()
                case MessageType.UPLOAD_BEGIN:
                    payload = bytes([0, DeviceMode.IDLE])
                case MessageType.UPLOAD_DATA:
                    received += len(request.payload) - 4
                    payload = bytes(4) + received.to_bytes(4, "little")
                case _:
                    payload = pack_refusal(code, detail)
            kind = request.type | REPLY_BIT
            back += encode_frame(Packet(kind, request.session, request.sequence, payload))
        return back

    return answer


def test_a_wrong_golden_trace_is_a_flash_error_and_not_tried_again(monkeypatch):
    with Server(refusing(ErrorCode.GOLDEN, 0x1234)) as server:
        plug_in(monkeypatch, Port(server.url, "2341:0043", "5573"))
        (device,) = run("left").devices
    assert device.outcome is Outcome.FLASH
    assert "computes this policy differently" in device.message
    assert len(device.attempts) == 1


def test_another_board_at_the_port_is_not_there(monkeypatch):
    with Server(fake_device(hello_of())) as server:
        plug_in(monkeypatch, Port(server.url, "2341:0043", "5573"))
        (device,) = run("left").devices
    assert device.outcome is Outcome.ABSENT
    assert "its board is fake, not virtual" in device.message
    assert device.hello is None


def test_nobody_at_all_does_not_pass(monkeypatch):
    plug_in(monkeypatch)
    result = run("left")
    assert result.devices[0].outcome is Outcome.ABSENT
    assert not result.passed


def refusal(code: ErrorCode, detail: int = 0) -> DeviceRefused:
    return DeviceRefused("no", code=code, detail=detail)


@pytest.mark.parametrize(
    "error, playing, known, outcome",
    [
        (LineLost("broke"), False, False, Outcome.LINK),
        (refusal(ErrorCode.SESSION), True, True, Outcome.LINK),
        (refusal(ErrorCode.MODE, DeviceMode.SAFE), True, True, Outcome.LINK),
        (refusal(ErrorCode.MODE, DeviceMode.FAULT), True, True, Outcome.FLASH),
        (refusal(ErrorCode.IMAGE), False, True, Outcome.FLASH),
        (refusal(ErrorCode.LENGTH), True, True, Outcome.WRONG),
        (LinkError("a reply of 3 bytes"), True, True, Outcome.WRONG),
        (LinkError("runs another policy"), False, True, Outcome.FLASH),
        (AbiMismatch("version 9"), False, False, Outcome.FLASH),
        (BoardError("does not fit"), False, True, Outcome.FLASH),
        (NoDevice("no port"), False, False, Outcome.ABSENT),
        (NoDevice("no port any more"), False, True, Outcome.LINK),
        (ToolError("no qemu"), False, False, Outcome.ABSENT),
        (StorageError("disk full"), True, True, None),
        (TaskError("no such task"), False, False, None),
    ],
)
def test_an_error_says_what_became_of_the_device(error, playing, known, outcome):
    assert outcome_of(error, playing, known) == outcome


def attempt(outcome: Outcome, episodes: int = 0) -> Attempt:
    return Attempt(outcome, (Episode(0, 1.0, ()),) * episodes, 1.0)


@pytest.mark.parametrize(
    "attempts, goes_on",
    [
        ([], True),
        ([attempt(Outcome.LINK)] * 2, True),
        ([attempt(Outcome.LINK)] * 3, False),
        ([attempt(Outcome.LINK, 1)] * 9, True),
        ([attempt(Outcome.LINK, 1), *[attempt(Outcome.LINK)] * 2], False),
        ([attempt(Outcome.PASSED)], False),
        ([attempt(Outcome.WRONG)], False),
        ([attempt(Outcome.FLASH)], False),
        ([attempt(Outcome.ABSENT)], False),
        ([attempt(Outcome.INTERRUPTED)], False),
    ],
)
def test_only_lost_devices_are_tried_again_and_not_for_ever(attempts, goes_on):
    assert Plan(retries=2).goes_on(attempts) == goes_on


def test_what_is_no_device_s_fault_ends_the_run(left):
    left()

    class Full(testrun.Observer):
        def on_step(self, device, episode, number, step):
            raise StorageError("The disk is full.")

    with pytest.raises(StorageError):
        run("left", "right", observers=[Full()])


def test_what_devices_had_when_the_run_was_interrupted_is_kept(left, monkeypatch):
    left()
    begun, ended = threading.Event(), threading.Event()

    class Slow(testrun.Observer):
        def on_episode(self, device, number, episode):
            begun.set()
            ended.wait(DEADLINE)

    def interrupted(*_, **__):
        assert begun.wait(DEADLINE)
        threading.Timer(0.1, ended.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr("ecedge.testrun.schedule.wait", interrupted)
    result = run("left", plan=Plan(episodes=100), observers=[Slow()])
    (device,) = result.devices
    assert device.outcome is Outcome.INTERRUPTED and result.interrupted and not result.passed
    assert 1 <= len(device.episodes) < 100


@pytest.mark.parametrize(
    "wrong", [{"episodes": 0}, {"seed": -1}, {"retries": -1}, {"deadline_ms": 0.0}]
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        Plan(**wrong)


# --- quarantine -----------------------------------------------------------------------------

WHERE = Path("quarantine.toml")
HELD = Quarantine(WHERE, (Entry("left", "Its reset button sticks."),))


def test_a_device_in_quarantine_is_not_opened_and_not_passed(monkeypatch):
    monkeypatch.setattr("ecedge.testrun.schedule.locate", lambda *_: pytest.fail("looked for"))
    result = run("left", held=HELD)
    assert result.devices[0].outcome is Outcome.QUARANTINED
    assert result.devices[0].message.endswith("until it is taken out: Its reset button sticks.")
    assert not result.passed  # nobody was asked


def test_the_others_decide(left):
    assert run("left", "right", plan=Plan(episodes=1), held=HELD).passed


@pytest.mark.parametrize(
    "until, held",
    [("", True), ("until = 2026-06-01", True), ("until = 2026-05-31", False)],
)
def test_an_entry_holds_until_its_last_day(until, held):
    text = f"[[quarantine]]\ndevice = 'left'\nreason = 'It smokes.'\n{until}"
    found = parse_quarantine(text, WHERE, ["left"]).find("left", date(2026, 6, 1))
    assert (found is not None) == held


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("[[quarantine", "is not TOML"),
        ("devices = 5", "is no quarantine. It is a list of tables [[quarantine]]."),
        ("[quarantine]\ndevice = 'left'", "is no quarantine."),
        ("quarantine = [5]", "is no quarantine."),
        ("[[quarantine]]\ndevice = 'left'\nwhy = 'x'", "unknown key 'why'. Keys: device, reason"),
        ("[[quarantine]]\nreason = 'x'", "device is None, which the rig does not name."),
        ("[[quarantine]]\ndevice = 'lefty'\nreason = 'x'", "It names left, right."),
        ("[[quarantine]]\ndevice = 'left'", "the reason for left is None; it is a text"),
        ("[[quarantine]]\ndevice = 'left'\nreason = ' '", "the reason for left is ' '"),
        (
            "[[quarantine]]\ndevice = 'left'\nreason = 'x'\nuntil = '2026-01-01'",
            "until of left is '2026-01-01'; it is a day, as 2026-12-31.",
        ),
        (
            "[[quarantine]]\ndevice = 'left'\nreason = 'x'\nuntil = 2026-01-01T00:00:00",
            "it is a day",
        ),
    ],
)
def test_a_wrong_quarantine_is_told_what_is_allowed(text, complaint):
    with pytest.raises(RigError) as caught:
        parse_quarantine(text, WHERE, ["left", "right"])
    assert str(caught.value).startswith("quarantine.toml")
    assert complaint in str(caught.value)


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=40).map(lambda text: f"x{text}"))
def test_whatever_the_reason_it_is_read_again(tmp_path_factory, why):
    rig = tmp_path_factory.mktemp("desk") / "rig.toml"
    empty = testrun.read_quarantine(rig, ["left"])
    testrun.put_into_quarantine(empty, [Entry("left", why, date(2026, 6, 1))])
    testrun.put_into_quarantine(empty, [Entry("left", "Again.")])
    first, second = testrun.read_quarantine(rig, ["left"]).entries
    assert (len(first.reason), first.until) == (len(why), date(2026, 6, 1))
    assert first.reason == why or not why.isprintable()
    assert second == Entry("left", "Again.")


def test_a_file_that_nothing_can_be_added_to_is_left_alone(tmp_path):
    (tmp_path / "quarantine.toml").write_text("quarantine = []\n")
    empty = testrun.read_quarantine(tmp_path / "rig.toml", ["left"])
    with pytest.raises(RigError, match="is not TOML"):
        testrun.put_into_quarantine(empty, [Entry("left", "It smokes.")])
    assert (tmp_path / "quarantine.toml").read_text() == "quarantine = []\n"


# --- what a run leaves ----------------------------------------------------------------------


def step(number: int = 0, bits: int = 0) -> Step:
    raw, output = np.array([number, -1, 2, 3], np.int16), np.array([1, number], np.int16)
    return Step(raw, output, number, 7, 40, 0.001 * (1 + number), bits, 1.0, output)


def made(outcome: Outcome, *wrong: int, message: str = "", episodes: int = 3) -> Attempt:
    """An attempt with episodes of 4 steps, those numbered `wrong` with differing bits."""
    ended = tuple(
        Episode(seed, 4.0 + seed, tuple(step(n, int(seed in wrong and n > 1)) for n in range(4)))
        for seed in range(episodes)
    )
    return Attempt(outcome, ended, 1.5, hello_of(board="virtual"), message)


@pytest.fixture
def mixed() -> testrun.TestRun:
    """One device of each outcome."""
    attempts = {
        "fine": (made(Outcome.PASSED),),
        "wrong": (made(Outcome.WRONG, 1),),
        "flaky": (
            made(Outcome.LINK, message="The line <broke> & mended\x07.", episodes=1),
            made(Outcome.LINK, message="The line <broke> & mended\x07.", episodes=0),
            replace(made(Outcome.PASSED), episodes=made(Outcome.PASSED).episodes[1:]),
        ),
        "lost": (made(Outcome.LINK, message="It went.", episodes=1),),
        "odd": (Attempt(Outcome.WRONG, (), 0.5, hello_of(), "A reply of 3 bytes."),),
        "full": (Attempt(Outcome.FLASH, (), 0.5, None, "No room."),),
        "gone": (Attempt(Outcome.ABSENT, (), 0.5, None, "No port."),),
    }
    devices = [testrun.DeviceResult(name, THREE, tries) for name, tries in attempts.items()]
    held = testrun.DeviceResult("held", THREE, quarantine=Entry("held", "It smokes."))
    return testrun.TestRun(
        "rig.toml", TASK.id, POLICY.hash, THREE, datetime(2026, 6, 1, 12), (*devices, held)
    )


def test_junit_tells_every_episode_of_every_device(mixed, tmp_path):
    testrun.save_junit(tmp_path / "hil.xml", mixed)
    root = ET.parse(tmp_path / "hil.xml").getroot()
    cases = {
        suite.get("name"): [[child.tag for child in case] for case in suite.iter("testcase")]
        for suite in root
    }
    assert cases == {
        "fine": [[], [], []],
        "wrong": [[], ["failure"], []],
        "flaky": [[], ["system-out"], []],
        "lost": [[], ["error"], ["skipped"]],
        "odd": [["failure"], ["skipped"], ["skipped"]],
        "full": [["error"], ["skipped"], ["skipped"]],
        "gone": [["error"], ["skipped"], ["skipped"]],
        "held": [["skipped"]] * 3,
    }
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.get(count)) == len(list(root.iter(tag)))
        for suite in root:
            assert int(suite.get(count)) == len(list(suite.iter(tag)))
    assert int(root.get("tests")) == 24
    (told,) = root.iter("system-out")
    assert told.text == "\n".join(["Lost, and tried again: The line <broke> & mended?."] * 2)
    failure, _ = root.iter("failure")
    assert (failure.get("type"), failure.get("message")) == (
        "wrong result",
        "It differs from the host twin by 2 bits, from step 2 on.",
    )
    assert {error.get("type") for error in root.iter("error")} == {
        "link error",
        "flash error",
        "not there",
    }


def test_the_page_has_every_device_and_fetches_nothing(mixed, tmp_path):
    save_page(tmp_path / "hil.html", mixed, POLICY)
    page = (tmp_path / "hil.html").read_text()
    for device in mixed.devices:
        assert f"<b>{device.name}</b>" in page
        assert f">{device.outcome}<" in page
        assert device.message in page
    assert "The line &lt;broke&gt; &amp; mended" in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_page_of_nobody_has_no_pictures(mixed, tmp_path):
    nobody = replace(mixed, devices=mixed.devices[-2:])
    save_page(tmp_path / "hil.html", nobody, POLICY)
    assert "<img" not in (tmp_path / "hil.html").read_text()


def test_failed_devices_are_put_into_quarantine_and_no_others(mixed):
    entries = mixed.to_isolate(7)
    assert [entry.device for entry in entries] == ["wrong", "lost", "odd", "full"]
    assert {entry.until for entry in entries} == {date(2026, 6, 8)}
    assert entries[1].reason == "link error on 2026-06-01: It went."


@pytest.fixture(scope="module")
def recording(line, tmp_path_factory) -> Path:
    """Two devices' episodes on file."""
    with Server(between(line, lambda reply: reply.payload)) as server:
        with pytest.MonkeyPatch.context() as patch:
            plug_in(patch, Port(server.url, "2341:0043", "5573"))
            result = run("left", "right", plan=Plan(episodes=2))
    path = tmp_path_factory.mktemp("recording") / "hil.npz"
    testrun.save_recording(path, testrun.record(result, POLICY))
    return path


def test_a_recording_replays_to_the_same_bits(recording):
    loaded = testrun.load_recording(recording)
    assert [(e.device, e.seed) for e in loaded.episodes] == [
        ("left", 0), ("left", 1), ("right", 0), ("right", 1),
    ]  # fmt: skip
    assert loaded.policy.hash == POLICY.hash
    assert testrun.replay(loaded) is None
    out = results_of("replay", recording)
    assert "4 episodes of 2 devices" in out and "every output and digest is" in out


def test_a_flipped_bit_of_a_recording_is_found_where_it_is(recording, tmp_path):
    loaded = testrun.load_recording(recording)
    third = loaded.episodes[2]
    output = third.output.copy()
    output[5, 1] ^= 1
    episodes = (*loaded.episodes[:2], replace(third, output=output), loaded.episodes[3])
    found = testrun.replay(replace(loaded, episodes=episodes))
    assert (found.device, found.seed, found.step) == ("right", 0, 5)
    assert found.what.startswith("output 1 was ")
    digest = third.digest.copy()
    digest[3] ^= 1 << 31
    wrong = replace(loaded, episodes=(replace(third, digest=digest),))
    assert testrun.replay(wrong).step == 3
    testrun.save_recording(tmp_path / "hil.npz", wrong)
    code, out, _ = ecedge("replay", tmp_path / "hil.npz")
    assert code == 1
    assert "the twin parts from right, episode of seed 0, step 3" in out


def test_a_damaged_recording_is_one_sentence(recording, tmp_path):
    data = recording.read_bytes()
    path = tmp_path / "hil.npz"
    for end in range(0, len(data), len(data) // 60):
        path.write_bytes(data[:end])
        with pytest.raises(UsageError, match="is damaged, or no recording"):
            testrun.load_recording(path)
    sound = testrun.load_recording(recording)
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 100):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with contextlib.suppress(UsageError):  # a bit of the zip that nobody reads
            assert testrun.replay(testrun.load_recording(path)) is None
            assert testrun.load_recording(path).steps == sound.steps


def test_what_is_no_recording_is_one_sentence(tmp_path):
    assert_misuse(ecedge("replay", tmp_path / "none.npz"), "There is no recording")
    empty = tmp_path / "empty.npz"
    testrun.save_recording(empty, testrun.Recording(POLICY, TASK.id, ()))
    assert_misuse(ecedge("replay", empty), "holds no episode")


def test_every_step_is_a_line_before_the_next(tmp_path):
    path = tmp_path / "steps.jsonl"
    with testrun.StepLog(path) as log:
        for number in range(3):
            log.on_step("left", 1, number, step(number))
            # As another process sees it that looks after a kill -9
            assert len(path.read_bytes().splitlines()) == number + 1
        log.on_attempt("left", made(Outcome.LINK))
        log.on_step("left", 1, 0, step())
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(line["attempt"], line["step"]) for line in lines] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert lines[2] == {
        "device": "left", "attempt": 0, "episode": 1, "step": 2, "counts": [2, -1, 2, 3],
        "outputs": [1, 2], "reward": 1.0, "digest": "00000002", "spikes": 40, "ticks": 7,
        "latency_ms": 3.0, "differing_bits": 0,
    }  # fmt: skip


# --- the verb -------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_policy(tmp_path / "policy.onnx", POLICY, PolicyInfo(TASK.id))
    (tmp_path / "rig.toml").write_text(RIG)
    return tmp_path


WORDS = "hil", "--policy", "policy.onnx", "--episodes", 2


def test_the_verb_writes_what_it_is_asked_for(desk, left):
    left()
    files = {"--report": "hil.html", "--junit": "hil.xml", "--record": "hil.npz", "--steps": "s"}
    out = results_of(*WORDS, *[word for pair in files.items() for word in pair])
    assert "left             passed" in out and "right            passed" in out
    assert "passed: 2 passed; 0 bits of" in out
    steps = [json.loads(text) for text in (desk / "s").read_text().splitlines()]
    assert {line["device"] for line in steps} == {"left", "right"}
    loaded = testrun.load_recording(desk / "hil.npz")
    assert loaded.steps == len(steps)
    assert (desk / "hil.html").exists() and (desk / "hil.xml").exists()


def test_a_failed_device_is_put_into_quarantine_and_skipped_next_time(desk, left):
    left(flip_output(2))
    words = *WORDS, "rig.toml", "--json"
    code, out, err = ecedge(*words, "--quarantine", 7)
    told = json.loads(out)
    assert code == 1 and not told["passed"]
    outcomes = {device["name"]: device["outcome"] for device in told["devices"]}
    assert outcomes == {"left": "wrong result", "right": "passed"}
    assert "put into quarantine: left; quarantine.toml says why." in err
    code, out, _ = ecedge(*words)
    told = json.loads(out)
    assert code == 0 and told["passed"]
    assert told["devices"][0]["outcome"] == "quarantined"
    assert ecedge(*words, "--device", "left")[0] == 1


@pytest.mark.parametrize(
    "more, complaint",
    [
        (("--device", "middle"), "rig.toml names no middle. It names left, right."),
        (("--episodes", 0), "0 episodes cannot be run"),
        (("--quarantine", 0), "A quarantine of 0 days is none."),
        (("--report", "no/hil.html"), "There is no folder no for hil.html. Make it first."),
        (("other.toml",), "There is no rig file other.toml."),
    ],
)
def test_misuse_is_told_before_any_device_is_asked(desk, monkeypatch, more, complaint):
    monkeypatch.setattr("ecedge.testrun.schedule.locate", lambda *_: pytest.fail("looked for"))
    assert_misuse(ecedge(*WORDS, *more), complaint)
