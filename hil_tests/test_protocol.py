"""docs/LINK.md as the device keeps it: messages, errors, modes, lost and damaged frames."""

from __future__ import annotations

import os
import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from twins import ReferenceTwin, random_counts, random_policy

from ecedge.boards.emulator import Running
from ecedge.devices import connect_running, run_board
from ecedge.errors import BoardError, DeviceRefused, LinkError, LinkTimeout
from ecedge.link import (
    Device,
    DeviceMode,
    ErrorCode,
    FrameReader,
    MessageType,
    Packet,
    PolicySource,
    encode_frame,
)
from ecedge.link import device as link_device
from ecedge.link.device import Patience
from ecedge.link.messages import UploadState
from ecedge.link.upload import send_image
from ecedge.model import LIMITS

POLICY = random_policy(5, n_obs=3, n_act=2, n_neurons=32)
RAW = np.array([100, -2000, 3000], np.int16)


def refusal(device: Device, kind: int, payload: bytes = b"") -> tuple[int, int]:
    """(code, detail) of a request that must be refused."""
    with pytest.raises(DeviceRefused) as caught:
        device.request(kind, payload)
    return caught.value.code, caught.value.detail


@pytest.fixture
def impatient(monkeypatch):
    """Short deadlines, for tests that lose many frames on purpose."""
    monkeypatch.setattr(link_device, "USUAL_PATIENCE", Patience(0.1, 40))


# -- who answers ---------------------------------------------------------------------------------


def test_hello_is_complete(rig, device):
    hello = device.connect()
    assert (hello.link_version, hello.image_version) == (1, 1)
    assert hello.mode == DeviceMode.IDLE
    assert hello.max_payload >= max(96, 2 * hello.max_obs)
    assert hello.tick_hz > 0
    assert hello.max_obs and hello.max_act and hello.max_neurons >= 32
    assert 1 <= len(hello.board) <= 16 and hello.board.isascii()
    if rig.spec.board:
        assert hello.board == rig.spec.board.name
        assert hello.tick_hz == rig.spec.board.tick_hz


def test_hello_does_not_end_an_episode(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    twin = ReferenceTwin(POLICY)
    assert device.step(RAW).output.tolist() == twin.step(RAW).tolist()
    assert device.connect().mode == DeviceMode.RUN
    assert device.step(RAW).digest == (twin.step(RAW), twin.digest)[1]


def test_wrong_magic_is_refused_and_keeps_the_session(device):
    assert refusal(device, MessageType.HELLO, bytes(6)) == (ErrorCode.ARGUMENT, 0)
    assert refusal(device, MessageType.HELLO, bytes(5))[0] == ErrorCode.LENGTH
    device.status()


# -- uploads -------------------------------------------------------------------------------------


def test_upload_puts_the_policy_into_use(device):
    progress = []
    device.upload(POLICY, progress=lambda done, total: progress.append((done, total)))
    size = len(POLICY.image)
    assert progress[-1] == (size, size) and [*progress] == sorted(progress)
    hello = device.connect()
    assert hello.policy_source == PolicySource.RAM
    assert hello.policy_hash == POLICY.hash
    assert (hello.n_obs, hello.n_act, hello.n_neurons) == (3, 2, 32)
    assert device.status().steps == 0


def with_crc(image: bytes) -> bytes:
    return image[:-4] + struct.pack("<I", zlib.crc32(image[:-4]))


def patched(offset: int, value: int) -> bytes:
    image = bytearray(POLICY.image)
    image[offset] = value
    return with_crc(bytes(image))


DAMAGED = {
    "one bit": (POLICY.image[:200] + bytes([POLICY.image[200] ^ 1]) + POLICY.image[201:], 6),
    "wrong magic": (patched(0, 0x44), 6),
    "another version": (patched(4, 2), 6),
    "field out of range": (patched(16, 33), 6),
    "reserved byte": (patched(29, 1), 6),
    "cut short": (POLICY.image[:-8], 6),
    "wrong golden trace": (replace(POLICY, golden_crc=POLICY.golden_crc ^ 1).image, 8),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_upload_is_refused_and_the_built_in_policy_kept(rig, device, name):
    image, code = DAMAGED[name]
    device.upload(POLICY)
    broken = replace(POLICY)
    broken.__dict__["image"] = image
    with pytest.raises(DeviceRefused) as caught:
        device.upload(broken)
    assert caught.value.code == code
    assert device.hello.policy_source in (PolicySource.BUILT_IN, PolicySource.NONE)
    if rig.built_in:
        assert device.hello.policy_hash == rig.built_in.hash
        device.reset()
        twin = ReferenceTwin(rig.built_in)
        assert device.step(RAW).output.tolist() == twin.step(RAW).tolist()
    device.upload(POLICY)
    assert device.hello.policy_hash == POLICY.hash


def test_image_too_large_is_refused_and_changes_nothing(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    limit = device.hello.max_image
    size = struct.pack("<I", limit + 1)
    assert refusal(device, MessageType.UPLOAD_BEGIN, size) == (ErrorCode.CAPACITY, limit)
    assert device.step(RAW).mode == DeviceMode.RUN
    assert device.connect().policy_hash == POLICY.hash


@pytest.mark.parametrize(("field", "unit"), [("n_neurons", 32), ("n_act", 1), ("n_obs", 1)])
def test_network_too_large_is_refused_by_the_host(device, field, unit):
    limit = getattr(device.hello, field.replace("n_", "max_"))
    if limit == LIMITS[field][1]:
        pytest.skip(f"{device.hello.board} takes the largest network there is")
    policy = random_policy(1, **dict(n_obs=1, n_act=1, n_neurons=32) | {field: limit + unit})
    with pytest.raises(BoardError, match=f" {limit + unit} .*it has {limit}."):
        device.upload(policy)


def test_network_too_large_is_refused_by_the_device(device):
    """By its outputs: the smallest image that is too much for any device."""
    limit = device.hello.max_act
    if limit == LIMITS["n_act"][1]:
        pytest.skip(f"{device.hello.board} takes as many outputs as there can be")
    send_image(device, random_policy(1, n_obs=1, n_act=limit + 1, n_neurons=32).image)
    assert refusal(device, MessageType.UPLOAD_COMMIT) == (ErrorCode.CAPACITY, limit)
    device.upload(POLICY)


def test_upload_out_of_order_is_refused_with_the_offset(device):
    device.request(MessageType.UPLOAD_BEGIN, struct.pack("<I", 100))
    device.request(MessageType.UPLOAD_DATA, struct.pack("<I", 0) + bytes(10))
    ahead = struct.pack("<I", 20) + bytes(10)
    assert refusal(device, MessageType.UPLOAD_DATA, ahead) == (ErrorCode.OFFSET, 10)
    beyond = struct.pack("<I", 10) + bytes(91)
    assert refusal(device, MessageType.UPLOAD_DATA, beyond)[0] == ErrorCode.LENGTH
    assert refusal(device, MessageType.UPLOAD_COMMIT)[0] == ErrorCode.IMAGE
    device.upload(POLICY)


def opened(device: Device, image: bytes, block: int) -> UploadState:
    payload = struct.pack("<III", len(image), zlib.crc32(image[:-4]), block)
    return UploadState.unpack(device.request(MessageType.UPLOAD_OPEN, payload))


def send_blocks(device: Device, image: bytes, block: int, upload: int, *indices: int) -> None:
    for index in indices:
        data = image[index * block : (index + 1) * block]
        device.send_block(index, bytes([upload]) + data)


def test_blocks_come_in_any_order_and_the_device_tells_what_is_missing(device):
    image, block = POLICY.image, 40
    count = -(-len(image) // block)
    assert 6 <= count <= 32
    upload = opened(device, image, block).upload
    send_blocks(device, image, block, upload, 3, 1, 3)
    state = opened(device, image, block)
    assert (state.upload, state.received, state.beyond) == (upload, 0, 0b1010)
    send_blocks(device, image, block, upload, 0)
    state = opened(device, image, block)
    assert (state.received, state.beyond) == (2 * block, 0b10)
    send_blocks(device, image, block, upload, *reversed(range(count)))
    assert opened(device, image, block).received == len(image)
    device.request(MessageType.UPLOAD_COMMIT)
    assert device.connect().policy_hash == POLICY.hash


def test_blocks_of_another_upload_or_session_change_nothing(device):
    image, block = POLICY.image, 40
    upload = opened(device, image, block).upload
    send_blocks(device, image, block, upload - 1 & 0xFF, 0)
    send_blocks(device, image, block, upload + 1 & 0xFF, 0)
    device._session ^= 1
    send_blocks(device, image, block, upload, 0)
    device._session ^= 1
    assert opened(device, image, block).received == 0


def test_an_upload_goes_on_in_another_session(rig, device):
    image, block = POLICY.image, 40
    upload = opened(device, image, block).upload
    send_blocks(device, image, block, upload, 0, 2)
    again = rig.connect()
    state = opened(again, image, block)
    assert (state.received, state.beyond) == (block, 0b10)
    state = opened(again, image, 30)
    assert (state.received, state.beyond) == (30, 0)
    assert opened(again, image[:-1], 30).received == 0, "another image begins anew"


# -- requests that are wrong ---------------------------------------------------------------------

WRONG = {
    "unknown type": (0x7E, b"", ErrorCode.TYPE, 0x7E),
    "RESET too short": (MessageType.RESET, bytes(7), ErrorCode.LENGTH, 8),
    "RESET with a reserved bit": (MessageType.RESET, b"\2" + bytes(7), ErrorCode.ARGUMENT, 0),
    "RESET with 9 ms": (MessageType.RESET, bytes(4) + struct.pack("<I", 9), ErrorCode.ARGUMENT, 0),
    "RESET with 61 s": (
        MessageType.RESET,
        bytes(4) + struct.pack("<I", 61000),
        ErrorCode.ARGUMENT,
        0,
    ),
    "STEP at rest": (MessageType.STEP, bytes(6), ErrorCode.MODE, DeviceMode.IDLE),
    "STATUS with payload": (MessageType.STATUS, b"x", ErrorCode.LENGTH, 0),
    "STOP with payload": (MessageType.STOP, b"x", ErrorCode.LENGTH, 0),
    "UPLOAD_BEGIN empty": (MessageType.UPLOAD_BEGIN, b"", ErrorCode.LENGTH, 4),
    "UPLOAD_BEGIN of nothing": (MessageType.UPLOAD_BEGIN, bytes(4), ErrorCode.ARGUMENT, 0),
    "UPLOAD_DATA unbegun": (MessageType.UPLOAD_DATA, bytes(4), ErrorCode.ARGUMENT, 0),
    "UPLOAD_COMMIT unbegun": (MessageType.UPLOAD_COMMIT, b"", ErrorCode.IMAGE, 2),
    "UPLOAD_OPEN empty": (MessageType.UPLOAD_OPEN, b"", ErrorCode.LENGTH, 12),
    "UPLOAD_OPEN of nothing": (
        MessageType.UPLOAD_OPEN,
        struct.pack("<III", 0, 1, 10),
        ErrorCode.ARGUMENT,
        0,
    ),
    "SPEED empty": (MessageType.SPEED, b"", ErrorCode.LENGTH, 4),
    "UPLOAD_DATA empty": (MessageType.UPLOAD_DATA, b"", ErrorCode.LENGTH, 0),
    "UPLOAD_COMMIT with payload": (MessageType.UPLOAD_COMMIT, b"x", ErrorCode.LENGTH, 0),
    "PEEK empty": (MessageType.PEEK, b"", ErrorCode.LENGTH, 4),
    "PEEK outside": (
        MessageType.PEEK,
        struct.pack("<HH", 0xFFFF, 1),
        ErrorCode.ARGUMENT,
        0,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_request_is_refused(device, name):
    kind, payload, code, detail = WRONG[name]
    device.upload(POLICY)
    running = name != "STEP at rest"
    if running:
        device.reset(silence_ms=60000)
    assert refusal(device, kind, payload) == (code, detail)
    hello = device.connect()
    assert hello.policy_hash == POLICY.hash
    assert hello.mode == (DeviceMode.RUN if running else DeviceMode.IDLE)


def test_step_of_another_length_is_refused_and_steps_nothing(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    before = device.peek()
    for size in (0, 5, 7, 8):
        assert refusal(device, MessageType.STEP, bytes(size)) == (ErrorCode.LENGTH, 6)
    assert device.peek() == before
    assert device.status().steps == 0


def test_request_of_another_session_is_refused_and_changes_nothing(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    before, session = device.peek(), device._session
    device._session = session % 0xFFFF + 1
    assert refusal(device, MessageType.STEP, RAW.tobytes()) == (ErrorCode.SESSION, session)
    device._session = session
    assert device.peek() == before


# -- speed ---------------------------------------------------------------------------------------


def test_the_line_has_another_speed_and_its_own_again(rig, device):
    board, usual = rig.spec.board, 57600
    if board is None:
        if not device.set_baud(usual):
            pytest.skip(f"this line cannot have {usual} baud")
        device.status()
        assert device.transport.baud == usual
        return  # and goes back by itself
    if board.is_host:
        assert refusal(device, MessageType.SPEED, struct.pack("<I", usual))[0] == ErrorCode.ARGUMENT
        return  # a line without a speed
    for baud in (usual, board.baud):
        device.request(MessageType.SPEED, struct.pack("<I", baud))
        time.sleep(0.05)
        device.status()


@pytest.mark.parametrize("baud", [0, 1, 99_000_000])
def test_a_speed_that_no_board_has_is_refused(device, baud):
    asked = struct.pack("<I", baud)
    assert refusal(device, MessageType.SPEED, asked) == (ErrorCode.ARGUMENT, 0)


# -- modes and silence ---------------------------------------------------------------------------


def test_stop_gives_the_safe_action(device):
    device.upload(POLICY)
    device.reset()
    for raw in random_counts(POLICY, 5):
        device.step(raw)
    assert device.status().mode == DeviceMode.RUN
    assert device.stop() == DeviceMode.IDLE
    assert device.stop() == DeviceMode.IDLE
    assert not device.status().outputs.any()


def test_silence_makes_the_device_safe_until_reset(device):
    device.upload(POLICY)
    before = device.status().silences
    device.reset(silence_ms=300)
    device.step(RAW)
    time.sleep(0.9)
    status = device.status()
    assert (status.mode, status.silences) == (DeviceMode.SAFE, before + 1)
    assert not status.outputs.any()
    assert refusal(device, MessageType.STEP, RAW.tobytes()) == (ErrorCode.MODE, DeviceMode.SAFE)
    time.sleep(0.4)
    assert device.status().mode == DeviceMode.SAFE, "requests alone must not end it"
    device.reset()
    assert device.step(RAW).mode == DeviceMode.RUN
    assert device.status().silences == before + 1


def test_requests_keep_silence_away(device):
    device.upload(POLICY)
    before = device.status().silences
    device.reset(silence_ms=500)
    for _ in range(10):
        time.sleep(0.1)
        device.step(RAW)
    assert device.status().silences == before


def test_talk_that_leads_nothing_is_silence(device):
    device.upload(POLICY)
    device.reset(silence_ms=300)
    device.step(RAW)
    for _ in range(5):
        time.sleep(0.1)
        device.status()
        device.connect()
        refusal(device, MessageType.STEP, b"x")
    assert device.status().mode == DeviceMode.SAFE


def test_noise_does_not_pass_for_a_host(device):
    device.upload(POLICY)
    device.reset(silence_ms=300)
    for _ in range(9):
        device.transport.write(b"\x02noise\0")
        time.sleep(0.1)
    assert device.status().mode == DeviceMode.SAFE


def test_statistics_add_up(device):
    device.upload(POLICY)
    first = device.status()
    assert (first.steps, first.sum_ticks, first.mean_ticks) == (0, 0, 0)
    device.reset()
    ticks = [device.step(raw).ticks for raw in random_counts(POLICY, 20)]
    status = device.status()
    assert status.steps == 20 and status.sum_ticks == sum(ticks)
    assert (status.min_ticks, status.max_ticks) == (min(ticks), max(ticks))
    # QEMU's SysTick stands at its end until the computer has time for its interrupt: one step may
    # take nothing.
    assert 0 < sum(ticks) < 20 * device.hello.tick_hz
    assert status.uptime_ms >= first.uptime_ms
    assert status.good_frames >= first.good_frames + 22


def test_uptime_runs_at_the_speed_of_time(device):
    asked, first, begun = time.monotonic(), device.status().uptime_ms, time.monotonic()
    time.sleep(1.0)
    ended, last, answered = time.monotonic(), device.status().uptime_ms, time.monotonic()
    assert 750 * (ended - begun) <= last - first <= 1250 * (answered - asked)


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_device_sleeps_when_nothing_comes(rig, device):
    if rig.running is None:
        pytest.skip("only a device that is started here can be watched; give --board")
    time.sleep(0.2)
    before = processor_seconds(rig.running.process.pid)
    time.sleep(1.0)
    used = processor_seconds(rig.running.process.pid) - before
    assert used < 0.3, "an emulator works only while the processor does not wait"


# -- lost, late, repeated and damaged ------------------------------------------------------------


class FaultyLine:
    """A transport that does to whole frames what `fate` says: good, lost, twice, damaged."""

    def __init__(self, transport, to_device, to_host):
        self.inner = transport
        self.name, self.baud = transport.name, transport.baud
        self.to_device, self.to_host = to_device, to_host
        self._pending = b""

    def write(self, data: bytes) -> None:
        self.inner.write(self._suffer(next(self.to_device), data))

    def read(self, timeout: float) -> bytes:
        self._pending += self.inner.read(timeout)
        *frames, self._pending = self._pending.split(b"\0")
        return b"".join(self._suffer(next(self.to_host), frame + b"\0") for frame in frames)

    def close(self) -> None:
        self.inner.close()

    @staticmethod
    def _suffer(fate: str, frame: bytes) -> bytes:
        middle = len(frame) // 2
        return {
            "good": frame,
            "lost": b"",
            "twice": frame + frame,
            "damaged": frame[:middle] + bytes([frame[middle] ^ 0x10]) + frame[middle + 1 :],
            "cut": frame[:middle],
        }[fate]


def fates(seed: int):
    """Seven good ones in ten."""
    rng = np.random.default_rng(seed)
    while True:
        yield str(rng.choice(["good"] * 7 + ["lost", "twice", "damaged"]))


def test_faults_on_the_line_change_no_result(device, impatient):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    before = device.status()
    clean, resends = device.transport, device.statistics.resends
    device.transport = FaultyLine(clean, fates(1), fates(2))
    twin = ReferenceTwin(POLICY)
    try:
        for raw in random_counts(POLICY, 40):
            expected = twin.step(raw)
            reply = device.step(raw)
            assert reply.output.tolist() == expected.tolist()
            assert reply.digest == twin.digest
    finally:
        device.transport = clean
    status = device.status()
    assert status.steps == 40, "every step took effect once"
    assert device.statistics.resends > resends
    assert status.repeated_requests > before.repeated_requests
    assert status.bad_frames > before.bad_frames


def test_upload_survives_faults_on_the_line(device, impatient):
    clean = device.transport
    device.transport = FaultyLine(clean, fates(3), fates(4))
    try:
        send_image(device, POLICY.image)
    finally:
        device.transport = clean
    device.request(MessageType.UPLOAD_COMMIT)
    assert device.connect().policy_hash == POLICY.hash


def listen(device: Device, seconds: float = 0.3) -> list[Packet]:
    """All packets that come until the line is quiet for so long."""
    reader, packets = FrameReader(), []
    while data := device.transport.read(seconds):
        packets += reader.feed(data)
    return packets


def test_repeated_frame_is_answered_from_memory(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    before = device.status().repeated_requests
    frame = encode_frame(
        Packet(MessageType.STEP, device._session, device._sequence + 1, RAW.tobytes())
    )
    device._sequence += 1
    device.transport.write(frame + frame + frame)
    replies = listen(device)
    assert len(replies) == 3 and len({packet.payload for packet in replies}) == 1
    status = device.status()
    assert (status.steps, status.repeated_requests) == (1, before + 2)


def test_every_flipped_bit_and_every_prefix_changes_nothing(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    state, before = device.peek(), device.status()
    frame = encode_frame(
        Packet(MessageType.STEP, device._session, device._sequence + 1, RAW.tobytes())
    )
    for bit in range(8 * (len(frame) - 1)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        device.transport.write(b"\0" + bytes(damaged))
        if bit % 8 == 7:
            time.sleep(0.005)  # no port has to hold more than one request
    for length in range(1, len(frame) - 1):
        device.transport.write(frame[:length] + b"\0")
    device.transport.write(b"\0" + frame[:-1] + frame)
    assert listen(device) == []
    assert device.peek() == state
    after = device.status()
    assert after.steps == before.steps == 0
    assert after.bad_frames > before.bad_frames


def test_random_bytes_and_overlong_frames_change_nothing(device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    state, before = device.peek(), device.status()
    rng = np.random.default_rng(6)
    for size in (1, 5, 10, 64, 200, 255, 256, 1000, 5000):
        device.transport.write(rng.bytes(size) + b"\0")
        device.transport.write(b"\x7f" * size + b"\0")
        time.sleep(0.02)
    assert listen(device) == []
    assert device.peek() == state
    assert device.status().bad_frames > before.bad_frames
    assert device.step(RAW).mode == DeviceMode.RUN


# -- coming back ---------------------------------------------------------------------------------


def test_host_that_comes_back_finds_the_episode_and_the_policy(rig, device):
    device.upload(POLICY)
    device.reset(silence_ms=60000)
    twin = ReferenceTwin(POLICY)
    twin.step(RAW)
    device.step(RAW)
    again = rig.connect()
    assert again is not device
    assert again.hello.policy_hash == POLICY.hash
    assert again.hello.mode == DeviceMode.RUN
    expected = twin.step(RAW)
    assert again.step(RAW).output.tolist() == expected.tolist()


def test_host_that_died_leaves_a_safe_device(rig, device):
    device.upload(POLICY)
    device.reset(silence_ms=200)
    device.step(RAW)
    rig.close()
    time.sleep(0.5)
    again = rig.connect()
    assert again.hello.mode == DeviceMode.SAFE
    assert not again.status().outputs.any()


def test_device_that_restarts_is_found_again(rig):
    if rig.running is None:
        pytest.skip("only a device that is started here can be killed; give --board")
    with run_board(rig.spec, rig.built_in) as first:
        with Device(connect_running(first, rig.spec.baud)) as device:
            device.upload(POLICY)
            first.stop()
            with pytest.raises(LinkTimeout):
                device.status()
    with run_board(rig.spec, rig.built_in) as second:
        assert isinstance(second, Running)
        with Device(connect_running(second, rig.spec.baud)) as device:
            session = device._session
            device._session = 0
            with pytest.raises(LinkError):
                device.status()
            device._session = session
            assert device.hello.policy_hash == rig.built_in.hash
