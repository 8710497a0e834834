"""Uploads in blocks, from the host's side: over lines that lose, repeat and mix up frames."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_link import FakeDevice, MemoryLine, small_policy

from ecedge.devices import open_device
from ecedge.errors import DeviceRefused, LineLost, LinkTimeout
from ecedge.link import Device
from ecedge.link.messages import DeviceMode, ErrorCode, MessageType, UploadState
from ecedge.link.upload import FRUITLESS, LEAST_BLOCK, best_block, loss_rate, send_image

IMAGE = bytes(range(256)) * 24


class MixedLine(MemoryLine):
    """Does to whole frames, both ways, what `fate` says; a late one comes after the next."""

    def __init__(self, device: FakeDevice, fate=lambda: "good"):
        super().__init__(device)
        self.fate = fate
        self.late_out: list[bytes] = []
        self.late_back: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        for frame in self._mixed(data, self.late_out):
            for reply in self._mixed(self.device.answer(frame), self.late_back):
                self.inbox += reply

    def _mixed(self, data: bytes, late: list[bytes]) -> list[bytes]:
        if not data.strip(b"\0"):
            return []
        match self.fate():
            case "lost":
                return []
            case "twice":
                return [data, data]
            case "cut":
                return [data[: len(data) // 2] + b"\0"]
            case "late":
                late.append(data)
                return []
        come = [data, *late]
        late.clear()
        return come

    def reopen(self, timeout: float) -> None:
        pass


def device_on(line: MemoryLine) -> Device:
    device = Device(line, clock=line.clock)
    device.connect()
    return device


@pytest.fixture
def line():
    return MixedLine(FakeDevice())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6000), st.randoms(use_true_random=False), st.sampled_from([1, 2, 5]))
def test_an_image_comes_whole_through_whatever_befalls_its_frames(size, random, badness):
    line = MixedLine(FakeDevice())
    device = device_on(line)
    fates = ["good"] * 10 + ["lost", "twice", "cut", "late"] * badness
    line.fate = lambda: random.choice(fates)
    seen = []
    send_image(device, IMAGE[:size], progress=lambda done, total: seen.append((done, total)))
    assert bytes(line.device.image) == IMAGE[:size]
    assert seen[-1] == (size, size) and seen == sorted(set(seen))


def test_blocks_are_sent_once_on_a_good_line(line):
    device = device_on(line)
    send_image(device, IMAGE)
    blocks = -(-len(IMAGE) // (device.hello.max_payload - 1))
    assert (device.statistics.blocks, device.statistics.lost_blocks) == (blocks, 0)
    assert device.statistics.requests < 2 + blocks / 8


def test_only_what_is_missing_is_sent_again(line):
    device = device_on(line)
    fates = iter(["good", "good"] + ["good"] * 3 + ["lost"])
    line.fate = lambda: next(fates, "good")
    send_image(device, IMAGE)
    blocks = -(-len(IMAGE) // (device.hello.max_payload - 1))
    assert (device.statistics.blocks, device.statistics.lost_blocks) == (blocks + 1, 1)
    assert bytes(line.device.image) == IMAGE


class HostGone(Exception):
    """The host's process ended there."""


@pytest.mark.parametrize("frames", [3, 10, 24, 30, 60])
def test_an_upload_goes_on_where_another_host_left_it(line, frames):
    policy = small_policy(n_neurons=256)
    first = device_on(line)
    left = iter([None] * frames)

    def fate():
        if next(left, "gone"):
            raise HostGone
        return "good"

    line.fate = fate
    with pytest.raises(HostGone):
        first.upload(policy)
    line.fate = lambda: "good"
    came = len(line.device.image)
    second = device_on(line)
    second.upload(policy)
    assert second.hello.policy_hash == policy.hash
    blocks = -(-(len(policy.image) - came) // (second.hello.max_payload - 1))
    assert second.statistics.blocks <= blocks


def test_an_upload_of_another_policy_begins_at_its_start(line):
    device = device_on(line)
    losing = iter(["good"] * 12)
    line.fate = lambda: next(losing, "lost")
    with pytest.raises(LinkTimeout):
        send_image(device, IMAGE)
    line.fate = lambda: "good"
    other = IMAGE[::-1]
    send_image(device, other)
    assert bytes(line.device.image) == other


def test_a_device_that_restarts_says_so_and_is_sent_all_of_it(line):
    device, policy = device_on(line), small_policy(n_neurons=256)
    counted = iter(range(30))

    def fate():
        if next(counted, None) == 20:
            line.device.restart()
        return "good"

    line.fate = fate
    with pytest.raises(DeviceRefused, match="restarted") as caught:
        device.upload(policy)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.SESSION, 0)
    device.connect()
    device.upload(policy)
    assert device.hello.policy_hash == policy.hash


def test_a_line_that_breaks_among_the_blocks_costs_only_what_was_on_it(line):
    device = device_on(line)
    written = iter(range(1000))
    write = line.write

    def breaking(data):
        if next(written) % 9 == 8:
            raise LineLost("The line to memory broke.")
        write(data)

    line.write = breaking
    send_image(device, IMAGE)
    assert bytes(line.device.image) == IMAGE
    assert device.statistics.reopened > 3


def test_a_line_that_lets_no_long_frame_through_gets_short_blocks(line):
    device = device_on(line)
    answer = line.device.answer
    line.device.answer = lambda data: answer(data) if len(data) <= 48 else b""
    send_image(device, IMAGE)
    assert bytes(line.device.image) == IMAGE


def test_a_line_that_lets_no_block_through_is_an_error_after_bounded_tries(line):
    device = device_on(line)
    answer = line.device.answer
    line.device.answer = lambda data: answer(data) if len(data) <= 28 else b""
    with pytest.raises(LinkTimeout, match=f"no block of [12]. bytes .* {FRUITLESS} times"):
        send_image(device, IMAGE)


def test_a_turn_is_half_of_a_device_s_smaller_window(line):
    device = device_on(line)
    take, asked = line.device._carry_out, []

    def narrow(request):
        payload = take(request)
        if request.type == MessageType.UPLOAD_OPEN:
            asked.append(device.statistics.blocks)
            payload = payload[:3] + b"\5" + payload[4:]
        return payload

    line.device._carry_out = narrow
    send_image(device, IMAGE)
    assert bytes(line.device.image) == IMAGE
    assert max(b - a for a, b in pairwise(asked)) == 5 // 2


# -- a virtual device ------------------------------------------------------------------------------


def test_a_virtual_device_s_line_gets_faster_for_an_upload():
    policy = small_policy(n_neurons=256)
    with open_device("virtual?baud=9600&fastest=1000000") as device:
        assert device.transport.baud == 9600
        begin = time.monotonic()
        device.upload(policy)
        assert device.transport.baud == 1_000_000
        assert time.monotonic() - begin < len(policy.image) * 10 / 9600
        time.sleep(2.1)
        assert device.status().mode == DeviceMode.IDLE
        assert device.transport.baud == 9600


# -- what is missing, and how long a block may be --------------------------------------------------


def test_what_is_missing_is_what_no_bit_tells():
    state = UploadState(1, 32, received=40, beyond=0b1010)
    assert [state.has(index, 20) for index in range(7)] == [1, 1, 0, 1, 0, 1, 0]
    assert state.missing(131, 20) == [2, 4, 6]
    assert UploadState(1, 32, 131, 0).missing(131, 20) == []
    assert UploadState(1, 3, 0, 0).missing(10**6, 20) == [0, 1, 2]


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.01, 0.02])
def test_the_best_block_brings_the_most_through(rate):
    overhead = 13
    brings = [data / (data + overhead) * math.exp(-rate * (data + overhead)) for data in range(600)]
    assert best_block(rate, 4000) == pytest.approx(brings.index(max(brings)), abs=1)


def test_a_good_line_has_the_longest_block_and_a_dead_one_the_shortest():
    assert best_block(0, 511) == 511
    assert best_block(loss_rate(32, 32, LEAST_BLOCK), 511) <= LEAST_BLOCK + 10
    assert loss_rate(0, 32, 100) == 0
