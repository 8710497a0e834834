"""The codec against hostile bytes, and `Device` against a device made of Python."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

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
    UsageError,
)
from ecedge.link import (
    Device,
    EpisodeResult,
    FrameReader,
    Hello,
    Limit,
    Observation,
    Packet,
    Status,
    StepReply,
    messages,
    open_transport,
)
from ecedge.link.codec import MAX_FRAME, REPLY_BIT, decode_frame, encode_frame, frame_size
from ecedge.link.messages import (
    DeviceMode,
    ErrorCode,
    MessageType,
    PolicySource,
    ResetCause,
    UploadState,
)
from ecedge.model import NetworkSpec, ObservationMap, Policy

packets = st.builds(
    Packet,
    type=st.integers(0, 255),
    session=st.integers(0, 0xFFFF),
    sequence=st.integers(0, 0xFFFF),
    payload=st.binary(max_size=600),
)
SAMPLE = Packet(MessageType.STEP, 0x1234, 7, bytes(range(12)) + b"\0\0\xff")


# -- codec ---------------------------------------------------------------------------------------


def test_frame_is_what_the_specification_shows():
    frame = encode_frame(Packet(type=1, session=0x0201, sequence=0x0403, payload=b"\x05"))
    assert frame.hex(" ") == "02 01 0a 01 02 03 04 05 23 ba 32 ba 00"


@given(packets)
def test_packet_survives_the_line(packet):
    frame = encode_frame(packet)
    assert frame.count(0) == 1 and frame[-1] == 0
    assert len(frame) <= frame_size(len(packet.payload))
    assert decode_frame(frame[:-1]) == packet


@given(st.lists(packets, max_size=5), st.integers(1, 40))
def test_frames_survive_any_cutting(sent, size):
    stream = b"".join(map(encode_frame, sent))
    reader, received = FrameReader(), []
    for begin in range(0, len(stream), size):
        received += reader.feed(stream[begin : begin + size])
    assert received == sent
    assert (reader.good_frames, reader.bad_frames) == (len(sent), 0)


def test_every_prefix_is_dropped():
    frame = encode_frame(SAMPLE)
    for length in range(1, len(frame) - 1):
        assert decode_frame(frame[:length]) is None


def test_every_flipped_bit_is_dropped():
    frame = encode_frame(SAMPLE)
    good = encode_frame(Packet(2, 1, 1))
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        reader = FrameReader()
        received = reader.feed(bytes(damaged)) + reader.feed(b"\0" + good)
        assert received == [Packet(2, 1, 1)], f"bit {bit}"
        assert reader.bad_frames >= 1


@given(st.binary(max_size=2000))
def test_random_bytes_are_no_packet(noise):
    reader = FrameReader()
    assert reader.feed(noise) == []
    assert reader.feed(b"\0" + encode_frame(SAMPLE)) == [SAMPLE]


def test_frames_glued_by_a_lost_delimiter_are_one_bad_frame():
    reader = FrameReader()
    frame = encode_frame(SAMPLE)
    assert reader.feed(frame[:-1] + frame) == []
    assert reader.bad_frames == 1


@given(packets, st.data())
def test_any_frame_cut_short_is_dropped(packet, data):
    frame = encode_frame(packet)[:-1]
    length = data.draw(st.integers(0, len(frame) - 1))
    assert decode_frame(frame[:length]) is None
    assert FrameReader().feed(frame[:length] + b"\0" + encode_frame(SAMPLE)) == [SAMPLE]


@given(packets, st.data())
def test_any_frame_with_a_flipped_bit_is_dropped(packet, data):
    frame = bytearray(encode_frame(packet))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    reader = FrameReader()
    assert reader.feed(bytes(frame) + b"\0" + encode_frame(SAMPLE)) == [SAMPLE]
    assert reader.bad_frames >= 1


@given(packets, packets, st.data())
def test_any_two_frames_glued_are_dropped_together(first, second, data):
    """Wherever the second one begins: a byte or more of the first is lost, its end among them."""
    begun = encode_frame(first)
    kept = data.draw(st.integers(1, len(begun) - 1))
    reader = FrameReader()
    assert reader.feed(begun[:kept] + encode_frame(second)) == []
    assert reader.feed(encode_frame(SAMPLE)) == [SAMPLE]
    assert (reader.good_frames, reader.bad_frames) == (1, 1)


def test_zero_bytes_between_frames_are_free():
    reader = FrameReader()
    assert reader.feed(b"\0\0" + encode_frame(SAMPLE) + b"\0\0") == [SAMPLE]
    assert reader.bad_frames == 0


def test_overlong_frame_is_forgotten_up_to_its_end():
    reader = FrameReader(max_frame=64)
    for _ in range(100):
        assert reader.feed(b"\x01" * 50) == []
    assert len(reader._pending) <= 64
    assert reader.feed(b"\0" + encode_frame(SAMPLE)) == [SAMPLE]
    assert reader.bad_frames == 1


def test_largest_packet_fits_the_reader():
    packet = Packet(1, 1, 1, bytes(range(1, 256)) * 257)
    assert len(packet.payload) == 0xFFFF
    assert len(encode_frame(packet)) <= MAX_FRAME
    assert FrameReader().feed(encode_frame(packet)) == [packet]


def test_nonzero_second_byte_is_dropped():
    body = struct.pack("<BBHH", 1, 1, 2, 3)
    assert decode_frame(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) is None


# -- messages ------------------------------------------------------------------------------------

HELLO = Hello(
    mode=DeviceMode.IDLE,
    max_payload=96,
    firmware_version=(1, 2, 3),
    boot_count=4,
    reset_cause=ResetCause.POWER_ON,
    policy_source=PolicySource.NONE,
    n_obs=0,
    n_act=0,
    n_neurons=0,
    policy_hash="00" * 8,
    tick_hz=1_000_000,
    max_image=20_000,
    max_obs=32,
    max_act=16,
    max_neurons=256,
    board="fake",
)


def test_hello_has_the_size_and_the_places_of_the_specification():
    packed = HELLO.pack()
    assert len(packed) == 80
    assert packed[8:12] == bytes([3, 2, 1, 0])
    assert packed[36:40] == struct.pack("<I", 20_000)
    assert packed[48:64] == b"fake".ljust(16, b"\0")
    assert Hello.unpack(packed) == HELLO


def test_step_reply_survives_packing():
    reply = StepReply(np.array([-32768, 5, 32767], np.int16), 9, 10, 0xDEADBEEF)
    again = StepReply.unpack(reply.pack(), 3)
    assert again.output.tolist() == [-32768, 5, 32767] and again.output.dtype == np.int16
    assert replace(again, output=reply.output) == reply


def test_status_has_the_size_of_the_specification():
    outputs = np.array([1, -2], np.int16)
    status = Status(DeviceMode.SAFE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2**40, outputs)
    assert len(status.pack()) == 48 + 4
    again = Status.unpack(status.pack())
    assert replace(again, outputs=outputs) == status
    assert again.outputs.tolist() == [1, -2]
    assert again.mean_ticks == 2**40 / 6


def test_result_has_the_size_and_the_places_of_the_specification():
    result = EpisodeResult(0, 3, 2**31, 5, 6, 0xDEADBEEF, 7, 8, 2**40, -65536, "cart-pole")
    packed = result.pack()
    assert len(packed) == 64
    assert packed[4:8] == struct.pack("<I", 2**31)
    assert packed[16:24] == struct.pack("<II", 0xDEADBEEF, 0)
    assert packed[40:48] == struct.pack("<q", -65536)
    assert packed[48:] == b"cart-pole".ljust(16, b"\0")
    assert EpisodeResult.unpack(packed) == result
    assert messages.episode_request(1, 2, 3, 4) == struct.pack("<IIII", 1, 2, 3, 4)


def test_observation_has_the_places_of_the_specification():
    packed = Observation(RESULT, np.array([1, -2], np.int16), np.array([7], np.int16)).pack()
    assert packed == RESULT.pack()[:48] + struct.pack("<hhh", 1, -2, 7)
    seen = Observation.unpack(packed, n_obs=1, n_act=2)
    assert seen.episode == replace(RESULT, plant="")
    assert (seen.applied.tolist(), seen.raw.tolist()) == ([1, -2], [7])


@pytest.mark.parametrize("numbers", [(-1, 1, 0, 0), (2**32, 1, 0, 0), (0, 2**32, 0, 0)])
def test_impossible_episode_is_a_sentence(numbers):
    with pytest.raises(UsageError, match="An episode on a device cannot have"):
        messages.episode_request(*numbers)


limits = st.tuples(
    st.integers(-32768, 32767), st.integers(-32768, 32767), st.integers(0, 65535)
).map(lambda numbers: Limit(*sorted(numbers[:2]), numbers[2]))


@given(st.lists(limits, min_size=1, max_size=5), st.integers(0, 63))
def test_limits_survive_packing(given_limits, first):
    request = messages.limits_request(given_limits, first)
    assert len(request) == 4 + 6 * len(given_limits)
    assert struct.unpack("<I", request[:4]) == (first,)
    assert messages.unpack_limits(request, len(given_limits)) == given_limits


@given(limits, st.integers(-32768, 32767), st.integers(-32768, 32767))
def test_limited_output_is_near_and_within_the_slew(limit, output, before):
    applied = limit.apply(output, before)
    assert abs(applied - before) <= limit.slew
    inside = min(max(output, limit.low), limit.high)
    assert applied == inside or abs(applied - before) == limit.slew
    assert Limit().apply(output, before) == output


@pytest.mark.parametrize("numbers", [(1, 0), (-32769, 0), (0, 32768), (0, 1, -1), (0, 1, 65536)])
def test_impossible_limits_are_a_sentence(numbers):
    with pytest.raises(UsageError):
        Limit(*numbers)


@given(st.binary(max_size=100))
def test_reply_of_wrong_length_is_a_link_error(payload):
    for unpack in (
        Hello.versions,
        Hello.unpack,
        Status.unpack,
        lambda data: StepReply.unpack(data, 40),
        messages.unpack_received,
        messages.unpack_committed,
        lambda data: messages.unpack_bytes(data, 97, "PEEK"),
        lambda data: messages.unpack_limits(data, 3),
    ):
        try:
            unpack(payload)
        except LinkError:
            pass


RESULT = EpisodeResult(4, 1, 2, 3, 4, 5, 6, 7, 2**40, -(2**40), "plant")
REPLIES = {
    "HELLO": (HELLO.pack(), Hello.unpack),
    "STEP": (
        StepReply(np.array([1, -2, 3], np.int16), 9, 10, 11).pack(),
        lambda payload: StepReply.unpack(payload, 3),
    ),
    "STATUS": (Status(1, *range(10), outputs=np.array([5, -6])).pack(), Status.unpack),
    "UPLOAD_DATA": (struct.pack("<4xI", 7), messages.unpack_received),
    "UPLOAD_OPEN": (UploadState(3, 32, 4000, 0b110).pack(), UploadState.unpack),
    "UPLOAD_COMMIT": (bytes(12), messages.unpack_committed),
    "STOP": (bytes(2), lambda payload: messages.unpack_mode(payload, "STOP")),
    "RESULT": (
        RESULT.pack(),
        EpisodeResult.unpack,
    ),
    "ACT": (
        Observation(RESULT, np.array([1, -2], np.int16), np.array([3, -4, 5], np.int16)).pack(),
        lambda payload: Observation.unpack(payload, 3, 2),
    ),
    "LIMITS": (
        bytes(4) + struct.pack("<hhHhhH", -5, 7, 2, 0, 0, 0),
        lambda payload: messages.unpack_limits(payload, 2),
    ),
    "PEEK": (bytes(4 + 9), lambda payload: messages.unpack_bytes(payload, 9, "PEEK")),
}


@pytest.mark.parametrize("name", REPLIES)
def test_every_prefix_of_a_reply_and_more_is_a_link_error(name):
    payload, unpack = REPLIES[name]
    unpack(payload)
    for wrong in (*(payload[:length] for length in range(len(payload))), payload + b"\0"):
        with pytest.raises(LinkError):
            unpack(wrong)


@pytest.mark.parametrize("name", REPLIES)
def test_every_flipped_bit_of_a_reply_is_understood_or_a_link_error(name):
    payload, unpack = REPLIES[name]
    for bit in range(8 * len(payload)):
        changed = bytearray(payload)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            unpack(bytes(changed))
        except LinkError as error:
            assert error.message.endswith(".") and error.hint.endswith(".")


@given(st.sampled_from(sorted(REPLIES)), st.data())
def test_any_bytes_of_a_reply_s_length_are_understood_or_a_link_error(name, data):
    payload, unpack = REPLIES[name]
    try:
        unpack(data.draw(st.binary(min_size=len(payload), max_size=len(payload))))
    except LinkError:
        pass


@given(st.binary(max_size=12), st.integers(0, 255))
def test_any_first_bytes_of_a_reply_are_good_or_a_link_error(payload, request_type):
    try:
        messages.check_status(payload, request_type)
    except LinkError as error:
        assert not payload or payload[0] != 0
        assert error.message.endswith(".") and error.hint.endswith(".")
    else:
        assert payload[0] == 0


@pytest.mark.parametrize("request_type", [MessageType.STEP, MessageType.LIMITS, MessageType.BEGIN])
@pytest.mark.parametrize("code", [*ErrorCode, 77])
def test_every_error_code_is_a_sentence_and_a_hint(code, request_type):
    with pytest.raises(DeviceRefused) as caught:
        messages.check_status(messages.pack_refusal(code, 2), request_type)
    assert caught.value.code == code
    assert caught.value.message.endswith(".") and caught.value.hint.endswith(".")


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
