"""What the payloads say: docs/LINK.md sections 2 to 4, and nowhere else in the host's code.

Requests are functions that return payload bytes. Replies are frozen dataclasses with `pack` (used
by devices made of Python) and `unpack`, both including the leading status byte.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum

import numpy as np

from ..errors import DeviceRefused, LinkError, UsageError
from ..model import IMAGE_VERSION

LINK_VERSION = 1
HELLO_MAGIC = 0x45474345
MIN_MAX_PAYLOAD = 96
REWARD_ONE = 65536  # the reward that means 1.0
PERIOD_MOST = 1 << 30  # ticks
U32 = 0xFFFFFFFF


class MessageType(IntEnum):
    HELLO = 1
    RESET = 2
    STEP = 3
    UPLOAD_BEGIN = 4
    UPLOAD_DATA = 5
    UPLOAD_COMMIT = 6
    STATUS = 7
    STOP = 8
    PEEK = 9
    LIMITS = 10
    EPISODE = 11
    RESULT = 12
    BEGIN = 13
    ACT = 14
    UPLOAD_OPEN = 0x10
    UPLOAD_BLOCK = 0x11
    SPEED = 0x12
    EVOLVE = 0x20
    MEMBER = 0x21
    RANKS = 0x22
    LEARN = 0x23
    RHO = 0x24
    RHO_PUT = 0x25
    PRACTICE = 0x26
    PROGRESS = 0x27
    RECORD = 0x28
    CONFIRM = 0x29
    SNAPSHOT = 0x2A
    TRACKS = 0x30
    TRACKS_STEP = 0x31


#: names of the requests of evolution
EVOLUTION = {kind.name for kind in MessageType if 0x20 <= kind < 0x30}
#: detail of error IMAGE: the policy in use does not evolve
STAYS = 1


class ErrorCode(IntEnum):
    TYPE = 1
    LENGTH = 2
    SESSION = 3
    MODE = 4
    CAPACITY = 5
    IMAGE = 6
    OFFSET = 7
    GOLDEN = 8
    ARGUMENT = 9
    PLANT = 10
    FLASH = 11


class DeviceMode(IntEnum):
    IDLE = 0
    RUN = 1
    SAFE = 2
    FAULT = 3
    CLOCKED = 4
    HOSTED = 5
    PRACTICE = 6


class ResetCause(IntEnum):
    UNKNOWN = 0
    POWER_ON = 1
    PIN = 2
    SOFTWARE = 3
    WATCHDOG = 4
    BROWN_OUT = 5


class EpisodeEnd(IntEnum):
    """Why an episode on the device's side ended."""

    NONE = 0
    RUNS = 1
    DONE = 2
    STEPS = 3
    STOPPED = 4
    SILENCE = 5
    FAULT = 6


class PolicySource(IntEnum):
    NONE = 0
    BUILT_IN = 1
    RAM = 2
    EVOLVING = 3


def known(kind: type[IntEnum], value: int):
    """The enum member, or the bare number that a newer device may send."""
    return kind(value) if value in kind._value2member_map_ else value


@dataclass(frozen=True)
class Hello:
    """Who answers: the reply to HELLO.

    Sizes are bytes, `tick_hz` is the rate of every `ticks`; `policy_hash` is 16 hexadecimal digits
    (zeros without a policy), `chip_id` 32.
    """

    mode: int
    max_payload: int
    firmware_version: tuple[int, int, int]
    boot_count: int
    reset_cause: int
    policy_source: int
    n_obs: int
    n_act: int
    n_neurons: int
    policy_hash: str
    tick_hz: int
    max_image: int
    max_obs: int
    max_act: int
    max_neurons: int
    board: str
    chip_id: str = "00" * 16
    link_version: int = LINK_VERSION
    image_version: int = IMAGE_VERSION

    LAYOUT = struct.Struct("<BBHHHIIBBHHH8sIIHHHH16s16s")
    VERSIONS = struct.Struct("<BBHH")

    @property
    def state_size(self) -> int:
        """Bytes of the network's state, as PEEK reads it."""
        return 2 * self.n_neurons + self.n_neurons // 8 + 2 * self.n_act

    @classmethod
    def versions(cls, payload: bytes) -> tuple[int, int]:
        """(link version, image version): they keep their place in every version of the link."""
        require_size(payload, cls.VERSIONS.size, "HELLO", exact=False)
        return cls.VERSIONS.unpack_from(payload)[2:]

    def pack(self) -> bytes:
        major, minor, patch = self.firmware_version
        return self.LAYOUT.pack(
            0,
            self.mode,
            self.link_version,
            self.image_version,
            self.max_payload,
            major << 16 | minor << 8 | patch,
            self.boot_count,
            self.reset_cause,
            self.policy_source,
            self.n_obs,
            self.n_act,
            self.n_neurons,
            bytes.fromhex(self.policy_hash),
            self.tick_hz,
            self.max_image,
            self.max_obs,
            self.max_act,
            self.max_neurons,
            0,
            self.board.encode("ascii"),
            bytes.fromhex(self.chip_id),
        )

    @classmethod
    def unpack(cls, payload: bytes) -> Hello:
        require_size(payload, cls.LAYOUT.size, "HELLO")
        (
            _,
            mode,
            link_version,
            image_version,
            max_payload,
            firmware,
            boot_count,
            reset_cause,
            policy_source,
            n_obs,
            n_act,
            n_neurons,
            policy_hash,
            tick_hz,
            max_image,
            max_obs,
            max_act,
            max_neurons,
            _,
            board,
            chip_id,
        ) = cls.LAYOUT.unpack(payload)
        if max_payload < MIN_MAX_PAYLOAD or tick_hz == 0:
            raise LinkError(
                f"The device says that it takes requests of {max_payload} bytes and that its clock "
                f"runs at {tick_hz} Hz, which no ecedge device does.",
                "Build and flash its firmware again.",
            )
        return cls(
            known(DeviceMode, mode),
            max_payload,
            (firmware >> 16, firmware >> 8 & 0xFF, firmware & 0xFF),
            boot_count,
            known(ResetCause, reset_cause),
            known(PolicySource, policy_source),
            n_obs,
            n_act,
            n_neurons,
            policy_hash.hex(),
            tick_hz,
            max_image,
            max_obs,
            max_act,
            max_neurons,
            board.rstrip(b"\0").decode("ascii", "replace"),
            chip_id.hex(),
            link_version,
            image_version,
        )


@dataclass(frozen=True)
class StepReply:
    """What a control step gave. output: (n_act,) int16, 2048 is 1.0; ticks at HELLO's tick_hz,
    the network step alone; digest 0 when the episode keeps none."""

    output: np.ndarray
    spikes: int
    ticks: int
    digest: int
    mode: int = DeviceMode.RUN

    LAYOUT = struct.Struct("<BBHII")

    def pack(self) -> bytes:
        head = self.LAYOUT.pack(0, self.mode, self.spikes, self.ticks, self.digest)
        return head + pack_counts(self.output)

    @classmethod
    def unpack(cls, payload: bytes, n_act: int) -> StepReply:
        require_size(payload, cls.LAYOUT.size + 2 * n_act, "STEP")
        _, mode, spikes, ticks, digest = cls.LAYOUT.unpack_from(payload)
        output = np.frombuffer(payload, "<i2", offset=cls.LAYOUT.size)
        return cls(output, spikes, ticks, digest, known(DeviceMode, mode))


@dataclass(frozen=True)
class TrackStep:
    """A control step that is asked of a track. raw: (n_obs,) int16 counts; begins: an episode, with
    this step."""

    track: int
    raw: np.ndarray
    begins: bool = False

    DIGESTS = 2

    @classmethod
    def size(cls, n_obs: int) -> int:
        return 2 + 2 * n_obs

    def pack(self) -> bytes:
        return bytes([self.track, self.begins | self.DIGESTS]) + pack_counts(self.raw)


@dataclass(frozen=True)
class TrackReply:
    """What came of it, as in StepReply."""

    output: np.ndarray
    spikes: int
    digest: int

    LAYOUT = struct.Struct("<IH")

    @classmethod
    def size(cls, n_act: int) -> int:
        return cls.LAYOUT.size + 2 * n_act


TRACKS_HEAD = struct.Struct("<BBHI")


def unpack_track_replies(payload: bytes, count: int, n_act: int) -> tuple[list[TrackReply], int]:
    """(what came of each step, the ticks of all)."""
    size = TrackReply.size(n_act)
    require_size(payload, TRACKS_HEAD.size + count * size, "TRACKS_STEP")
    replies = []
    for at in range(TRACKS_HEAD.size, len(payload), size):
        digest, spikes = TrackReply.LAYOUT.unpack_from(payload, at)
        output = np.frombuffer(payload, "<i2", n_act, at + TrackReply.LAYOUT.size)
        replies.append(TrackReply(output, spikes, digest))
    return replies, TRACKS_HEAD.unpack_from(payload)[3]


@dataclass(frozen=True)
class Status:
    """The device's counters since it started, and the outputs (n_act,) int16 on the plant now."""

    mode: int
    uptime_ms: int
    good_frames: int
    bad_frames: int
    repeated_requests: int
    silences: int
    steps: int
    min_ticks: int
    max_ticks: int
    clamps: int
    sum_ticks: int
    outputs: np.ndarray

    LAYOUT = struct.Struct("<BBHIIIIIIIIIQ")

    @property
    def mean_ticks(self) -> float:
        """Ticks of a mean step; 0 before the first."""
        return self.sum_ticks / self.steps if self.steps else 0.0

    def pack(self) -> bytes:
        head = self.LAYOUT.pack(
            0,
            self.mode,
            len(self.outputs),
            self.uptime_ms,
            self.good_frames,
            self.bad_frames,
            self.repeated_requests,
            self.silences,
            self.steps,
            self.min_ticks,
            self.max_ticks,
            self.clamps,
            self.sum_ticks,
        )
        return head + pack_counts(self.outputs)

    @classmethod
    def unpack(cls, payload: bytes) -> Status:
        require_size(payload, cls.LAYOUT.size, "STATUS", exact=False)
        _, mode, n_act, *counters = cls.LAYOUT.unpack_from(payload)
        require_size(payload, cls.LAYOUT.size + 2 * n_act, "STATUS")
        outputs = np.frombuffer(payload, "<i2", offset=cls.LAYOUT.size)
        return cls(known(DeviceMode, mode), *counters, outputs)


@dataclass(frozen=True)
class Limit:
    """What an output applied to the plant is kept to: a range, and how far it may move in a step,
    2048 for 1.0. Without arguments it limits nothing."""

    low: int = -32768
    high: int = 32767
    slew: int = 65535

    LAYOUT = struct.Struct("<hhH")

    def __post_init__(self):
        if not -32768 <= self.low <= self.high <= 32767:
            raise UsageError(
                f"An output cannot be kept to {self.low} ... {self.high}.",
                "Give two numbers of -32768 ... 32767, the lower one first.",
            )
        if not 0 <= self.slew <= 65535:
            raise UsageError(f"A slew is 0 ... 65535 a step, not {self.slew}.")

    def apply(self, output: int, before: int) -> int:
        """The nearest to `output` of those allowed, `before` being the one applied last. The slew
        holds even where `before` is outside of the range."""
        inside = min(max(output, self.low), self.high)
        return min(max(inside, before - self.slew), before + self.slew)


def check_limits(limits: Sequence[Limit], n_act: int) -> None:
    """Raises UsageError where there are some, but not one for each output."""
    if limits and len(limits) != n_act:
        raise UsageError(
            f"There are {len(limits)} limits for {n_act} outputs.", "Give one for each output."
        )


@dataclass(frozen=True)
class EpisodeResult:
    """What an episode on the device's side came to, so far if it still runs. Lateness is ticks
    between when a step was due, or the counts of a hosted one, and when it began; `trajectory` the
    CRC-32 of counts and outputs applied; `total` the return in 1 / REWARD_ONE; `plant` the name of
    the plant on the device's side."""

    mode: int
    end: int
    steps: int
    clamps: int
    misses: int
    trajectory: int
    least_late: int
    most_late: int
    sum_late: int
    total: int
    plant: str

    LAYOUT = struct.Struct("<BBBxIIII4xIIQq16s")

    @property
    def runs(self) -> bool:
        return self.end == EpisodeEnd.RUNS

    def pack(self) -> bytes:
        *numbers, plant = astuple(self)
        return self.LAYOUT.pack(0, *numbers, plant.encode("ascii"))

    @classmethod
    def unpack(cls, payload: bytes) -> EpisodeResult:
        require_size(payload, cls.LAYOUT.size, "RESULT")
        _, mode, end, *numbers, plant = cls.LAYOUT.unpack(payload)
        name = plant.rstrip(b"\0").decode("ascii", "replace")
        return cls(known(DeviceMode, mode), known(EpisodeEnd, end), *numbers, name)


@dataclass(frozen=True)
class Observation:
    """What a host acts by in a hosted episode: the reply to BEGIN and ACT.

    episode: as far as it is, without the plant's name. applied: (n_act,) int16 on the plant in the
    last step; raw: (n_obs,) int16 counts that it gives now.
    """

    episode: EpisodeResult
    applied: np.ndarray
    raw: np.ndarray

    HEAD = 48  # bytes of the episode

    @classmethod
    def size(cls, n_obs: int, n_act: int) -> int:
        return cls.HEAD + 2 * (n_act + n_obs)

    def pack(self) -> bytes:
        return self.episode.pack()[: self.HEAD] + pack_counts(self.applied) + pack_counts(self.raw)

    @classmethod
    def unpack(cls, payload: bytes, n_obs: int, n_act: int) -> Observation:
        require_size(payload, cls.size(n_obs, n_act), "BEGIN or ACT")
        unnamed = bytes(EpisodeResult.LAYOUT.size - cls.HEAD)
        values = np.frombuffer(payload, "<i2", offset=cls.HEAD)
        episode = EpisodeResult.unpack(payload[: cls.HEAD] + unnamed)
        return cls(episode, values[:n_act], values[n_act:])


@dataclass(frozen=True)
class UploadState:
    """What a device has of an image: the reply to UPLOAD_OPEN.

    upload: the number that its blocks bear. window: blocks from the first missing one on that it
    takes. received: bytes without a gap. beyond: bit i tells whether the i-th block from there
    on came.
    """

    upload: int
    window: int
    received: int
    beyond: int
    mode: int = DeviceMode.IDLE

    LAYOUT = struct.Struct("<BBBBII")

    def pack(self) -> bytes:
        head = (0, self.mode, self.upload, self.window)
        return self.LAYOUT.pack(*head, self.received, self.beyond)

    @classmethod
    def unpack(cls, payload: bytes) -> UploadState:
        require_size(payload, cls.LAYOUT.size, "UPLOAD_OPEN")
        _, mode, upload, window, received, beyond = cls.LAYOUT.unpack(payload)
        if not 1 <= window <= 32:
            raise LinkError(
                f"The device says that it takes {window} blocks of an upload at a time, "
                "which no ecedge device does.",
                "Build and flash its firmware again.",
            )
        return cls(upload, window, received, beyond, known(DeviceMode, mode))

    def has(self, index: int, block: int) -> bool:
        """Whether the block of that index came, of those with `block` bytes each."""
        ahead = index - self.received // block
        return index * block < self.received or (ahead < 32 and self.beyond >> ahead & 1 > 0)

    def missing(self, size: int, block: int) -> list[int]:
        """The blocks of the window that did not come, of an image of `size` bytes."""
        first = self.received // block
        end = min(first + self.window, -(-size // block))
        return [index for index in range(first, end) if not self.has(index, block)]


def hello_request() -> bytes:
    return struct.pack("<IH", HELLO_MAGIC, LINK_VERSION)


def tracks_request(count: int) -> bytes:
    return struct.pack("<I", count)


def reset_request(digest: bool, silence_ms: int) -> bytes:
    return struct.pack("<B3xI", digest, silence_ms)


def step_request(raw: np.ndarray) -> bytes:
    """raw: (n_obs,) int16 counts."""
    return pack_counts(raw)


def upload_begin_request(size: int) -> bytes:
    return struct.pack("<I", size)


def upload_data_request(offset: int, data: bytes) -> bytes:
    return struct.pack("<I", offset) + data


def upload_open_request(size: int, name: int, block: int) -> bytes:
    """name: u32, what the host calls this image and no other; block: bytes."""
    return struct.pack("<III", size, name, block)


def upload_block(upload: int, data: bytes) -> bytes:
    """The index of the block is the packet's sequence; there is no reply."""
    return bytes([upload]) + data


def speed_request(baud: int) -> bytes:
    return struct.pack("<I", baud)


def peek_request(offset: int, length: int) -> bytes:
    return struct.pack("<HH", offset, length)


def limits_request(limits: Sequence[Limit], first: int) -> bytes:
    return struct.pack("<I", first) + b"".join(Limit.LAYOUT.pack(*astuple(each)) for each in limits)


def episode_request(seed: int, steps: int, period: int, silence_ms: int) -> bytes:
    """Of EPISODE and of BEGIN."""
    numbers = {"seed": seed, "steps": steps, "period": period, "silence_ms": silence_ms}
    for name, value in numbers.items():
        if not 0 <= value < 1 << 32:
            raise UsageError(
                f"An episode on a device cannot have {value} as its {name}.",
                "Give a whole number of 32 bits, without sign.",
            )
    return struct.pack("<IIII", *numbers.values())


def act_request(outputs: np.ndarray) -> bytes:
    """outputs: (n_act,) int16, 2048 is 1.0."""
    return pack_counts(outputs)


def unpack_limits(payload: bytes, count: int) -> list[Limit]:
    """The reply to LIMITS: those that hold now."""
    require_size(payload, 4 + count * Limit.LAYOUT.size, "LIMITS")
    try:
        return [Limit(*numbers) for numbers in Limit.LAYOUT.iter_unpack(payload[4:])]
    except UsageError as error:
        raise LinkError(
            f"The device tells limits that cannot be: {error.message}",
            "Build and flash its firmware again.",
        ) from error


def unpack_mode(payload: bytes, message: str) -> int:
    """The mode in the replies to RESET, UPLOAD_BEGIN and STOP."""
    require_size(payload, 2, message)
    return known(DeviceMode, payload[1])


def unpack_received(payload: bytes) -> int:
    """UPLOAD_DATA's reply: the bytes that the device has now."""
    require_size(payload, 8, "UPLOAD_DATA")
    return struct.unpack("<4xI", payload)[0]


def unpack_committed(payload: bytes) -> str:
    """UPLOAD_COMMIT's reply: the hash of the policy now in use."""
    require_size(payload, 12, "UPLOAD_COMMIT")
    return payload[4:].hex()


def unpack_bytes(payload: bytes, length: int, message: str) -> bytes:
    """What PEEK and RHO tell."""
    require_size(payload, 4 + length, message)
    return payload[4:]


def pack_refusal(code: int, detail: int = 0) -> bytes:
    """The reply that refuses a request."""
    return struct.pack("<BI", code, detail)


def check_status(payload: bytes, request: int) -> None:
    """Raises DeviceRefused when a reply's payload begins with an error code."""
    name = _name(MessageType, request)
    require_size(payload, 1, name, exact=False)
    code = payload[0]
    if code:
        detail = struct.unpack_from("<I", payload, 1)[0] if len(payload) >= 5 else 0
        message, hint = _explain(code, detail, name)
        raise DeviceRefused(message, hint, code, detail)


def _explain(code: int, detail: int, request: str) -> tuple[str, str]:
    """One sentence and a hint for an error code of docs/LINK.md section 2."""
    match code:
        case ErrorCode.TYPE if request in EVOLUTION:
            return (
                "Policies do not evolve on this device.",
                "Its firmware has less than 1.5 KB of memory for uploads, or is older than this "
                "ecedge.",
            )
        case ErrorCode.TYPE:
            return (
                f"The device does not know the request {request}.",
                "Its firmware is older than this ecedge: build and flash it again.",
            )
        case ErrorCode.LENGTH:
            right = f"; {detail} bytes would be right" if detail else ""
            return (
                f"The device says that {request} has the wrong length{right}.",
                "Check that the observation fits the policy that the device runs.",
            )
        case ErrorCode.SESSION if detail == 0:
            return (
                f"The device restarted: it no longer knows this session ({request}).",
                "Connect again, and upload the policy again if it was in RAM.",
            )
        case ErrorCode.SESSION:
            return (
                f"Another host took the device over ({request}).",
                "Close the other program, then connect again.",
            )
        case ErrorCode.MODE:
            mode = _name(DeviceMode, detail)
            hints = {
                DeviceMode.FAULT: "Its policy failed the golden trace: upload a policy.",
                DeviceMode.SAFE: "No host led it for too long, or its plant asked: reset it.",
                DeviceMode.CLOCKED: "An episode runs by the device's own clock: stop it first.",
                DeviceMode.HOSTED: "A host acts on the device's plant: stop it first.",
                DeviceMode.PRACTICE: "The device practises by itself: stop it first.",
            }
            return (
                f"The device does not do {request} in mode {mode}.",
                hints.get(detail, "Reset it to begin an episode."),
            )
        case ErrorCode.CAPACITY if request == MessageType.LIMITS.name:
            return (
                f"The device has {detail} outputs; the limits are for more.",
                "Give one limit for each output of the policy.",
            )
        case ErrorCode.CAPACITY if request == MessageType.EVOLVE.name:
            return (
                f"The device has {detail} bytes for uploads; the policy, a byte for each of its "
                "synapses and four for each member are more.",
                "Use a smaller network or population, or firmware with a larger capacity.",
            )
        case ErrorCode.CAPACITY if request == MessageType.PRACTICE.name:
            return (
                f"The device has room for the records of {detail} generations that it runs by "
                "itself, not for more.",
                "Let it run fewer at a time, or use a smaller population or network.",
            )
        case ErrorCode.CAPACITY if request in EVOLUTION:
            return (
                f"The device's {detail} bytes for uploads hold no confirmed policy beside the "
                "probabilities.",
                "Use a smaller network or population, or firmware with a larger capacity.",
            )
        case ErrorCode.CAPACITY if request == MessageType.BEGIN.name:
            return (
                f"What the plant shows does not fit into the device's replies of {detail} bytes.",
                "Build its firmware with a larger capacity (max_payload).",
            )
        case ErrorCode.CAPACITY:
            return (
                f"The policy is larger than the device has room for: its limit is {detail}.",
                "Use a smaller network, or build the firmware with a larger capacity.",
            )
        case ErrorCode.IMAGE if detail == STAYS:
            return (
                f"The policy that the device runs does not evolve ({request}).",
                "Begin evolution anew: the device restarted, or took another policy.",
            )
        case ErrorCode.IMAGE:
            return (
                f"The device refuses the policy image ({request}, reason {detail}).",
                "Upload it again; a device without any policy needs an upload first.",
            )
        case ErrorCode.OFFSET if request in EVOLUTION:
            return (
                f"The device is in the middle of a generation: {detail} words have moved.",
                "Go on with LEARN from there.",
            )
        case ErrorCode.OFFSET:
            return (
                f"The device expected the upload to go on at byte {detail}.",
                "Begin the upload again.",
            )
        case ErrorCode.GOLDEN:
            return (
                f"The device computes this policy differently: golden CRC {detail:08x}.",
                "Firmware and ecedge must be of one version: build and flash it again.",
            )
        case ErrorCode.ARGUMENT if request == MessageType.LIMITS.name:
            return (
                "The device's plant bears no output within these limits.",
                "Ask for what it bears: set limits without arguments, and look at the answer.",
            )
        case ErrorCode.ARGUMENT:
            return (f"The device does not accept a value in {request}.", "See docs/LINK.md.")
        case ErrorCode.PLANT if detail == 0:
            return (
                "The device has no plant on its own side.",
                "Build its firmware with one: ecedge build --plant.",
            )
        case ErrorCode.FLASH:
            reasons = {
                0: "The device has no flash for what it learned.",
                1: "The device has no snapshot of what it learned that its firmware can take.",
                2: "What the device learned does not fit into its flash.",
                3: "The device's flash does not keep what is written.",
            }
            return (
                reasons.get(detail, f"The device's flash does not do it, for its reason {detail}."),
                "The lineage on this computer holds all of it: resume the run.",
            )
        case ErrorCode.PLANT:
            return (
                f"The device's plant does not begin an episode, for its reason {detail}.",
                "Its C file says what that means; for cart-pole: the policy is of another task.",
            )
    return (
        f"The device refused {request} with the unknown error {code} (detail {detail}).",
        "Its firmware is newer than this ecedge: install the same version.",
    )


def pack_counts(values) -> bytes:
    return np.ascontiguousarray(values, "<i2").tobytes()


def _name(kind: type[IntEnum], value: int) -> str:
    return getattr(known(kind, value), "name", str(value))


def require_size(payload: bytes, size: int, message: str, exact: bool = True) -> None:
    if len(payload) < size or (exact and len(payload) != size):
        raise LinkError(
            f"The reply to {message} has {len(payload)} bytes instead of {size}.",
            "Firmware and ecedge must be of one version: build and flash it again.",
        )
