"""The host's end of docs/LINK.md: a pure codec, the messages, one transport, and the `Device`."""

from .codec import FrameReader, Packet, decode_frame, encode_frame
from .device import Device, LinkStatistics, period_ticks
from .evolving import Evolving, learned_hash, read_rho
from .faulty import Faults, FaultyTransport, Proxy
from .learning import Practice, PracticeState, Progress, Record
from .messages import (
    IMAGE_VERSION,
    LINK_VERSION,
    PERIOD_MOST,
    REWARD_ONE,
    DeviceMode,
    EpisodeEnd,
    EpisodeResult,
    ErrorCode,
    Hello,
    Limit,
    MessageType,
    Observation,
    PolicySource,
    ResetCause,
    Status,
    StepReply,
    check_limits,
)
from .transport import Port, SerialTransport, Transport, open_transport, serial_ports

__all__ = [
    "IMAGE_VERSION",
    "LINK_VERSION",
    "PERIOD_MOST",
    "REWARD_ONE",
    "Device",
    "DeviceMode",
    "EpisodeEnd",
    "EpisodeResult",
    "ErrorCode",
    "Evolving",
    "Faults",
    "FaultyTransport",
    "FrameReader",
    "Hello",
    "Limit",
    "LinkStatistics",
    "MessageType",
    "Observation",
    "Packet",
    "PolicySource",
    "Port",
    "Practice",
    "PracticeState",
    "Progress",
    "Proxy",
    "Record",
    "ResetCause",
    "SerialTransport",
    "Status",
    "StepReply",
    "Transport",
    "check_limits",
    "decode_frame",
    "encode_frame",
    "learned_hash",
    "open_transport",
    "period_ticks",
    "read_rho",
    "serial_ports",
]
