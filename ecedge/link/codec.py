"""Packets and frames: docs/LINK.md section 1.

    packet   | type u8 | 0 u8 | session u16 | sequence u16 | payload … | crc32 u32 |
    line     | COBS(packet) | 00 |

Bytes in, bytes out, nothing else.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cobs import cobs

HEADER = struct.Struct("<BBHH")
CRC = struct.Struct("<I")
OVERHEAD = HEADER.size + CRC.size
DELIMITER = b"\0"
REPLY_BIT = 0x80
BITS_PER_BYTE = 10  # of the line: 8N1
MAX_PAYLOAD = 0xFFFF


def frame_size(payload: int) -> int:
    """The most bytes that a frame with so many bytes of payload takes on the line."""
    packet = OVERHEAD + payload
    return packet + packet // 254 + 1 + len(DELIMITER)


MAX_FRAME = frame_size(MAX_PAYLOAD)


@dataclass(frozen=True)
class Packet:
    """One request or reply. type: u8, session and sequence: u16."""

    type: int
    session: int
    sequence: int
    payload: bytes = b""

    def answers(self, request: Packet) -> bool:
        """Whether this is the reply to `request`."""
        return (self.type, self.session, self.sequence) == (
            request.type | REPLY_BIT,
            request.session,
            request.sequence,
        )


def encode_frame(packet: Packet) -> bytes:
    """The packet as it goes on the line, its closing zero byte included."""
    body = HEADER.pack(packet.type, 0, packet.session, packet.sequence) + packet.payload
    return cobs.encode(body + CRC.pack(zlib.crc32(body))) + DELIMITER


def decode_frame(frame: bytes) -> Packet | None:
    """The packet of a frame without its closing zero byte; None for anything that is not one."""
    try:
        packet = cobs.decode(frame)
    except cobs.DecodeError:
        return None
    if len(packet) < OVERHEAD:
        return None
    body, crc = packet[: -CRC.size], packet[-CRC.size :]
    if CRC.pack(zlib.crc32(body)) != crc:
        return None
    kind, zero, session, sequence = HEADER.unpack_from(body)
    if zero:
        return None
    return Packet(kind, session, sequence, body[HEADER.size :])


class FrameReader:
    """Cuts a stream of bytes into packets, in whatever pieces the bytes come.

    What is no frame is dropped and counted in `bad_frames`; the reader is in step again after the
    next zero byte. Empty frames are flushes and count for nothing. Memory is bounded: a frame
    that grows beyond `max_frame` bytes is forgotten up to its end.
    """

    def __init__(self, max_frame: int = MAX_FRAME):
        self.max_frame = max_frame
        self.good_frames = 0
        self.bad_frames = 0
        self._pending = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that `data` completes, in order."""
        *complete, rest = data.split(DELIMITER)
        packets = []
        for piece in complete:
            self._collect(piece)
            packets += self._finish()
        self._collect(rest)
        return packets

    def _collect(self, piece: bytes) -> None:
        self._overlong |= len(self._pending) + len(piece) > self.max_frame
        if self._overlong:
            self._pending.clear()
        else:
            self._pending += piece

    def _finish(self) -> list[Packet]:
        frame, overlong = bytes(self._pending), self._overlong
        self._pending.clear()
        self._overlong = False
        if not frame and not overlong:
            return []
        packet = None if overlong else decode_frame(frame)
        if packet is None:
            self.bad_frames += 1
            return []
        self.good_frames += 1
        return [packet]
