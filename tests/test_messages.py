"""Frames and messages against hostile bytes."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from ecedge.errors import DeviceRefused, LinkError, UsageError
from ecedge.link import (
    EpisodeResult,
    FrameReader,
    Hello,
    Limit,
    Observation,
    Packet,
    Status,
    StepReply,
    messages,
)
from ecedge.link.codec import MAX_FRAME, decode_frame, encode_frame, frame_size
from ecedge.link.messages import (
    DeviceMode,
    ErrorCode,
    MessageType,
    PolicySource,
    ResetCause,
    UploadState,
)

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
