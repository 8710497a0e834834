"""`Device` against a device made of Python."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_messages import HELLO

from ecedge import reference
from ecedge.errors import (
    AbiMismatch,
    BoardError,
    DeviceRefused,
    LinkError,
    LinkTimeout,
    NoDevice,
    NotEcedge,
    PolicyError,
)
from ecedge.link import (
    Device,
    FrameReader,
    Hello,
    Packet,
    Status,
    StepReply,
    messages,
    open_transport,
)
from ecedge.link.codec import REPLY_BIT, encode_frame
from ecedge.link.messages import DeviceMode, ErrorCode, MessageType, PolicySource, UploadState
from ecedge.model import NetworkSpec, ObservationMap, Policy

# -- a device made of Python ---------------------------------------------------------------------


class FakeDevice:
    """docs/LINK.md as a state machine: bytes in, bytes out. Knows one policy, in RAM."""

    def __init__(self, hello: Hello = HELLO):
        self.hello = hello
        self.session = 0
        self.last: tuple[Packet, bytes] | None = None
        self.reader = FrameReader()
        self.executed: list[int] = []
        self.image = bytearray()
        self.size = 0
        self.upload = (0, 0, 0)  # size, name, block
        self.blocks: dict[int, bytes] = {}
        self.number = 0
        self.bauds = ()  # that its line can have
        self.baud = 0  # 0: its own
        self.policy: Policy | None = None
        self.state = None

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._reply(packet) for packet in self.reader.feed(data))

    def restart(self) -> None:
        self.__init__(replace(self.hello, boot_count=self.hello.boot_count + 1))

    def _reply(self, request: Packet) -> bytes:
        if request.type == MessageType.UPLOAD_BLOCK:
            if request.session == self.session:
                self._take_block(request)
            return b""
        is_hello = request.type == MessageType.HELLO
        if is_hello:
            self.session = request.session
        elif request.session != self.session:
            return self._frame(request, messages.pack_refusal(ErrorCode.SESSION, self.session))
        elif self.last and self.last[0].sequence == request.sequence:
            if request.type != MessageType.SPEED:
                return self.last[1]
        self.executed.append(request.type)
        frame = self._frame(request, self._carry_out(request))
        self.last = (request, frame)
        return frame

    def _take_block(self, request: Packet) -> None:
        number, data = request.payload[0], request.payload[1:]
        if number == self.number and request.sequence < self._first_missing() + 32:
            self.blocks[request.sequence] = data
        self.image = bytearray()
        for index in range(self._first_missing()):
            self.image += self.blocks[index]

    def _first_missing(self) -> int:
        return next(index for index in range(1 << 16) if index not in self.blocks)

    def _frame(self, request: Packet, payload: bytes) -> bytes:
        return encode_frame(
            Packet(request.type | REPLY_BIT, request.session, request.sequence, payload)
        )

    def _carry_out(self, request: Packet) -> bytes:
        payload = request.payload
        match request.type:
            case MessageType.HELLO:
                return self.hello.pack()
            case MessageType.RESET:
                self._go(DeviceMode.RUN)
                self.state = reference.reset(self.policy.spec)
                return bytes([0, DeviceMode.RUN])
            case MessageType.STEP:
                if self.hello.mode != DeviceMode.RUN:
                    return messages.pack_refusal(ErrorCode.MODE, self.hello.mode)
                raw = np.frombuffer(payload, "<i2")
                self.state = reference.control_step(self.policy, self.state, raw)
                return StepReply(self.state.output.astype(np.int16), 0, 0, 0).pack()
            case MessageType.UPLOAD_BEGIN:
                (self.size,) = struct.unpack("<I", payload)
                self.image.clear()
                self._go(DeviceMode.IDLE)
                return bytes([0, DeviceMode.IDLE])
            case MessageType.UPLOAD_DATA:
                (offset,) = struct.unpack_from("<I", payload)
                if offset != len(self.image):
                    return messages.pack_refusal(ErrorCode.OFFSET, len(self.image))
                self.image += payload[4:]
                return struct.pack("<4xI", len(self.image))
            case MessageType.UPLOAD_OPEN:
                upload = struct.unpack("<III", payload)
                if upload != self.upload:
                    image = self.image if upload[:2] == self.upload[:2] else bytearray()
                    block = upload[2]
                    whole = len(image) if len(image) == upload[0] else len(image) // block * block
                    self.upload, self.image = upload, image[:whole]
                    self.blocks = {
                        at // block: bytes(image[at : at + block]) for at in range(0, whole, block)
                    }
                    self.number = (self.number + 1) % 256
                    self._go(DeviceMode.IDLE)
                first = self._first_missing()
                beyond = sum(1 << index - first for index in self.blocks if index > first)
                state = UploadState(self.number, 32, len(self.image), beyond)
                return state.pack()
            case MessageType.SPEED:
                (baud,) = struct.unpack("<I", payload)
                if baud not in self.bauds:
                    return messages.pack_refusal(ErrorCode.ARGUMENT)
                self.baud = baud
                return bytes(2)
            case MessageType.UPLOAD_COMMIT:
                self.upload = (0, 0, 0)
                try:
                    self.policy = Policy.from_image(bytes(self.image))
                except PolicyError:
                    return messages.pack_refusal(ErrorCode.IMAGE, 7)
                spec = self.policy.spec
                self.hello = replace(
                    self.hello,
                    policy_source=PolicySource.RAM,
                    n_obs=spec.n_obs,
                    n_act=spec.n_act,
                    n_neurons=spec.n_neurons,
                    policy_hash=self.policy.hash,
                )
                return bytes(4) + bytes.fromhex(self.policy.hash)
            case MessageType.STATUS:
                return Status(self.hello.mode, *[0] * 10, outputs=np.zeros(self.hello.n_act)).pack()
            case MessageType.STOP:
                self._go(DeviceMode.IDLE)
                return bytes([0, DeviceMode.IDLE])
            case MessageType.PEEK:
                offset, length = struct.unpack("<HH", payload)
                return bytes(4) + reference.state_bytes(self.state)[offset : offset + length]
        return messages.pack_refusal(ErrorCode.TYPE, request.type)

    def _go(self, mode: DeviceMode) -> None:
        self.hello = replace(self.hello, mode=mode)


class MemoryLine:
    """A line with a clock of its own: waiting costs no time. `deliver` may lose or add bytes."""

    name = "memory"
    baud = None

    def __init__(self, device: FakeDevice | None = None):
        self.device = device
        self.now = 0.0
        self.inbox = b""
        self.sent: list[bytes] = []
        self.deliver = lambda reply, attempt: reply
        self.closed = False

    def clock(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        reply = self.device.answer(data) if self.device else b""
        self.inbox += self.deliver(reply, len(self.sent))

    def read(self, timeout: float) -> bytes:
        data, self.inbox = self.inbox, b""
        self.now += 0.001 if data else timeout
        return data

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def line():
    return MemoryLine(FakeDevice())


@pytest.fixture
def device(line):
    with Device(line, clock=line.clock) as device:
        yield device


def small_policy(n_obs=3, n_act=2, n_neurons=32) -> Policy:
    spec = NetworkSpec(n_obs, n_act, n_neurons, substeps=2)
    rng = np.random.default_rng(1)
    plain = ObservationMap([0] * n_obs, [64] * n_obs, [4] * n_obs, [8] * n_obs)
    return reference.with_golden_trace(
        Policy(spec, plain, rng.integers(0, 2**32, spec.n_words, np.uint32)), 2
    )


def test_connect_says_who_answers(device):
    assert device.hello.board == "fake"
    assert device.hello.firmware_version == (1, 2, 3)
    assert device.round_trip == pytest.approx(0.001)


def test_uploaded_policy_gives_the_reference_s_outputs(device, line):
    policy, seen = small_policy(n_neurons=128), []
    device.upload(policy, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(policy.image), len(policy.image)) and len(seen) > 1
    device.reset()
    state = reference.reset(policy.spec)
    for raw in np.random.default_rng(2).integers(-500, 500, (5, 3)).astype(np.int16):
        state = reference.control_step(policy, state, raw)
        assert device.step(raw).output.tolist() == state.output.tolist()
    assert device.peek() == reference.state_bytes(state)
    assert device.peek(3, 5) == reference.state_bytes(state)[3:8]
    assert device.stop() == DeviceMode.IDLE
    assert device.status().mode == DeviceMode.IDLE


def test_leaving_the_context_stops_the_device_and_closes_the_line(line):
    with Device(line, clock=line.clock):
        pass
    assert line.device.executed[-1] == MessageType.STOP
    assert line.closed


def test_lost_reply_is_asked_for_again_and_done_once(device, line):
    lost = iter([True, True])
    line.deliver = lambda reply, attempt: b"" if next(lost, False) else reply
    before = len(line.device.executed)
    device.request(MessageType.STATUS)
    assert len(line.device.executed) == before + 1
    assert device.statistics.resends == 2
    first, second, third = line.sent[-3:]
    assert second == third == b"\0" + first
    assert device.round_trip == pytest.approx(0.501)  # nobody knew how soon STATUS is answered


def test_duplicate_and_late_replies_are_dropped(device, line):
    replies = []

    def deliver(reply, attempt):
        replies.append(reply)
        return b"".join(replies) + reply

    line.deliver = deliver
    for _ in range(4):
        assert device.status().mode == DeviceMode.IDLE
    assert device.statistics.stray_replies > 0
    assert device.statistics.resends == 0


def test_damaged_reply_is_asked_for_again(device, line):
    bad = iter([True])
    line.deliver = lambda reply, attempt: (
        reply.replace(reply[5:6], b"\xee") if next(bad, False) else reply
    )
    device.status()
    assert device.statistics.bad_frames >= 1 and device.statistics.resends == 1


def test_reply_in_single_bytes_is_understood(device, line):
    whole = line.read

    def read(timeout):
        if line.inbox:
            byte, line.inbox = line.inbox[:1], line.inbox[1:]
            return byte
        return whole(timeout)

    line.read = read
    device.status()
    assert device.statistics.resends == 0


def test_silent_device_is_a_timeout_with_its_deadline(device, line):
    line.deliver = lambda reply, attempt: b""
    begin = line.now
    with pytest.raises(LinkTimeout, match=r"did not answer STATUS within 4\.0 s, asked 1\d "):
        device.status()
    assert line.now - begin == pytest.approx(4.0)


def test_baud_adds_the_line_s_time_to_the_deadline(device, line):
    line.baud = 9600
    line.deliver = lambda reply, attempt: b""
    begin = line.now
    with pytest.raises(LinkTimeout):
        device.status()
    assert 4.5 < line.now - begin < 8


def test_nothing_that_answers_is_no_device():
    line = MemoryLine(None)
    with pytest.raises(NoDevice), Device(line, clock=line.clock):
        pass
    assert line.now == pytest.approx(9.0)
    assert line.closed


def test_foreign_chatter_is_not_ecedge():
    line = MemoryLine(None)
    line.deliver = lambda reply, attempt: b"$GPGGA,123519,4807.038,N\r\n"
    with pytest.raises(NotEcedge, match="no frame"), Device(line, clock=line.clock):
        pass


def test_endless_chatter_ends_at_the_deadline():
    line = MemoryLine(None)

    def chatter(timeout):
        line.now += 0.1
        return b"x"

    line.read = chatter
    with pytest.raises(NotEcedge), Device(line, clock=line.clock):
        pass
    assert line.now < 10


def test_device_that_answers_another_host_is_named_as_such():
    line = MemoryLine(None)
    line.deliver = lambda reply, attempt: encode_frame(Packet(0x81, 0, 0, HELLO.pack()))
    with pytest.raises(LinkTimeout, match="not to this host"), Device(line, clock=line.clock):
        pass


@pytest.mark.parametrize("versions", [{"link_version": 2}, {"image_version": 9}])
def test_other_version_is_an_abi_mismatch_that_names_both(versions):
    line = MemoryLine(FakeDevice(replace(HELLO, **versions)))
    theirs = [versions.get("link_version", 1), versions.get("image_version", 1)]
    with pytest.raises(AbiMismatch) as caught, Device(line, clock=line.clock):
        pass
    assert f"link version {theirs[0]} and image version {theirs[1]}" in str(caught.value)
    assert "speaks 1 and 1" in str(caught.value)


def test_longer_hello_of_another_version_is_an_abi_mismatch():
    line = MemoryLine(FakeDevice())
    line.device.hello = replace(HELLO, link_version=7)
    line.device._carry_out = lambda request: line.device.hello.pack() + b"more"
    with pytest.raises(AbiMismatch), Device(line, clock=line.clock):
        pass


def test_restarted_device_is_a_clear_error_and_connects_again(device, line):
    line.device.restart()
    with pytest.raises(DeviceRefused, match="restarted") as caught:
        device.status()
    assert caught.value.code == ErrorCode.SESSION and isinstance(caught.value, LinkError)
    assert device.connect().boot_count == 5
    device.status()


def test_device_that_another_host_took_says_so(device, line):
    with Device(line, clock=line.clock) as thief:
        thief.status()
        line.closed = False
        with pytest.raises(DeviceRefused, match="Another host"):
            device.status()


def test_step_before_reset_is_refused_with_the_mode(device):
    device.upload(small_policy())
    with pytest.raises(DeviceRefused, match="STEP in mode IDLE"):
        device.step(np.zeros(3, np.int16))


@pytest.mark.parametrize("raw", [np.zeros(2, np.int16), np.zeros(3), [[1, 2, 3]]])
def test_step_takes_int16_counts_of_the_policy_s_shape(device, raw):
    device.upload(small_policy())
    with pytest.raises(PolicyError, match="3 int16 counts"):
        device.step(raw)


@pytest.mark.parametrize(
    ("shape", "lack"),
    [
        ({"n_neurons": 512}, "512 neurons .it has 256."),
        ({"n_obs": 33}, "33 observations .it has 32."),
        ({"n_act": 17}, "17 outputs .it has 16."),
        ({"n_neurons": 416}, "bytes of policy image .it has 20000."),
    ],
)
def test_policy_too_large_is_refused_before_a_byte_is_sent(device, line, shape, lack):
    sent = len(line.sent)
    with pytest.raises(BoardError, match=lack):
        device.upload(small_policy(**shape))
    assert len(line.sent) == sent


def test_upload_that_is_refused_leaves_a_usable_device(device):
    broken = small_policy()
    broken.__dict__["image"] = broken.image[:-1] + bytes([broken.image[-1] ^ 1])
    with pytest.raises(DeviceRefused) as caught:
        device.upload(broken)
    assert caught.value.code == ErrorCode.IMAGE
    device.upload(small_policy())


def test_trace_sees_the_bytes_of_both_directions(line):
    seen = {"host": b"", "device": b""}

    def trace(side, data):
        seen[side] += data

    with Device(line, trace=trace, clock=line.clock):
        pass
    assert seen["host"] == b"".join(line.sent)
    assert [packet.type for packet in FrameReader().feed(seen["device"])] == [0x81, 0x88]


def test_sequence_wraps(device):
    device._sequence = 0xFFFF
    device.status()
    assert device._sequence == 0


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_lossy_line_changes_no_result(data):
    """Whatever is lost, repeated or damaged, each request is carried out once, in order."""
    line = MemoryLine(FakeDevice())
    fate = st.sampled_from(["good", "good", "lost", "twice", "noise", "damaged"])
    losses = 0

    def deliver(reply, attempt):
        nonlocal losses
        kind = data.draw(fate) if losses < 1 else "good"
        losses = losses + 1 if kind in ("lost", "damaged") else 0
        return {
            "good": reply,
            "lost": b"",
            "twice": reply + reply,
            "noise": b"\x07noise\0" + reply,
            "damaged": reply[: len(reply) // 2] + b"\0",
        }[kind]

    policy = small_policy()
    with Device(line, clock=line.clock) as device:
        line.deliver = deliver
        device.upload(policy)
        device.reset()
        state = reference.reset(policy.spec)
        for raw in np.arange(12, dtype=np.int16).reshape(4, 3) * 50:
            state = reference.control_step(policy, state, raw)
            assert device.step(raw).output.tolist() == state.output.tolist()
        line.deliver = lambda reply, attempt: reply
    assert line.device.executed.count(MessageType.STEP) == 4


# -- speed ---------------------------------------------------------------------------------------


class SpeedyLine(MemoryLine):
    """A line whose ends hear each other at one speed alone, up to the fastest that it carries."""

    baud = 9600

    def __init__(self, device: FakeDevice, carries: int = 10**9, has: int = 10**9):
        super().__init__(device)
        self.carries = carries
        self.has = has  # the fastest of this port
        self.heard = 0.0

    def write(self, data: bytes) -> None:
        if self.now - self.heard > 2.0:
            self.device.baud = 0
        if (self.device.baud or 9600) != self.baud or self.baud > self.carries:
            data = b"\xff" * len(data)
        good = self.device.reader.good_frames
        super().write(data)
        if self.device.reader.good_frames > good:
            self.heard = self.now

    def set_baud(self, baud: int) -> bool:
        if baud > self.has:
            return False
        self.baud = baud
        return True


def speedy(fastest: int | None = None, bauds=(500_000, 1_000_000), **line) -> Device:
    line = SpeedyLine(FakeDevice(), **line)
    line.device.bauds = bauds
    device = Device(line, clock=line.clock, fastest=fastest)
    device.connect()
    return device


def test_a_speed_that_both_have_is_kept_while_there_is_talk():
    device = speedy()
    line = device.transport
    assert device.set_baud(1_000_000) and line.baud == line.device.baud == 1_000_000
    for _ in range(5):
        line.now += 1.9
        device.status()
    assert line.baud == 1_000_000 and device.statistics.resends == 0


def test_both_ends_go_back_after_silence():
    device = speedy()
    line = device.transport
    assert device.set_baud(500_000)
    line.now += 2.1
    before = device.statistics.resends
    device.status()
    assert (line.baud, line.device.baud) == (9600, 0)
    assert device.statistics.resends == before
    assert device.set_baud(500_000), "and may change it again"


def test_a_restarted_device_is_found_at_its_own_speed():
    device = speedy()
    assert device.set_baud(500_000)
    device.transport.device.restart()
    with pytest.raises(DeviceRefused, match="restarted"):
        device.status()
    assert device.transport.baud == 9600
    device.connect()


@pytest.mark.parametrize("trouble", [{"bauds": ()}, {"carries": 9600}, {"has": 9600}], ids=str)
def test_a_speed_that_one_cannot_have_leaves_the_line_as_it_was(trouble):
    device = speedy(**trouble)
    begin = device.transport.now
    assert not device.set_baud(1_000_000)
    assert device.transport.baud == 9600
    assert device.transport.now - begin < 4
    device.status()


def test_a_lost_answer_to_a_change_of_speed_is_waited_for():
    device = speedy()
    line = device.transport
    lost = iter([True])
    line.deliver = lambda reply, attempt: b"" if next(lost, False) else reply
    assert device.set_baud(500_000)
    assert line.baud == line.device.baud == 500_000


def test_uploads_and_episodes_are_as_fast_as_both_ends_can():
    device = speedy(fastest=3_000_000)
    policy = small_policy()
    device.upload(policy)
    assert device.transport.baud == 1_000_000
    device.transport.now += 5
    device.reset()
    assert device.transport.baud == 1_000_000
    asked = [packet for packet in device.transport.device.executed if packet == MessageType.SPEED]
    assert len(asked) == 4, "3 and 2 Mbaud are asked for once"


def test_a_line_that_cannot_be_faster_is_asked_once():
    device = speedy(fastest=1_000_000, bauds=())
    device.upload(small_policy())
    asked = device.transport.device.executed.count(MessageType.SPEED)
    device.upload(small_policy())
    assert device.transport.device.executed.count(MessageType.SPEED) == asked > 1
    assert device.transport.baud == 9600


def test_a_line_of_unknown_speed_keeps_it(device, line):
    assert not device.set_baud(1_000_000)
    assert MessageType.SPEED not in line.device.executed


# -- transport -----------------------------------------------------------------------------------


def test_closed_socket_is_no_device():
    with pytest.raises(NoDevice, match="connection refused"):
        open_transport("socket://127.0.0.1:1")


def test_missing_port_is_no_device():
    with pytest.raises(NoDevice, match="no such file"):
        open_transport("/dev/ttyNOWHERE")


def test_url_without_port_number_is_no_device():
    with pytest.raises(NoDevice):
        open_transport("socket://127.0.0.1")


def test_pseudo_terminal_carries_bytes_and_is_exclusive():
    pty = pytest.importorskip("pty")
    import os
    import tty

    controller, terminal = pty.openpty()
    tty.setraw(terminal)
    name = os.ttyname(terminal)
    line = open_transport(name)
    line.write(b"\0\x11\x13\r\n")
    assert os.read(controller, 10) == b"\0\x11\x13\r\n"
    os.write(controller, b"\0\x03\xff")
    assert line.read(1.0) == b"\0\x03\xff"
    assert line.read(0.01) == b""
    assert line.baud == 115200
    with pytest.raises(NoDevice, match="another program"):
        open_transport(name)
    line.close()
    os.close(controller)
    os.close(terminal)


def test_socket_that_closes_is_a_timeout_with_a_hint():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        line = open_transport(f"socket://127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        peer.sendall(b"abc")
        received = b""
        while len(received) < 3:
            received += line.read(1.0)
        assert received == b"abc"
        peer.close()
        with pytest.raises(LinkTimeout, match="broke"):
            line.read(1.0)
        line.close()


def test_a_policy_without_a_golden_trace_is_not_sent(device):
    requests = device.statistics.requests
    with pytest.raises(PolicyError, match="no golden trace"):
        device.upload(replace(small_policy(), golden_steps=0, golden_crc=0))
    assert device.statistics.requests == requests
