"""A device at the other end of the line, as an object: docs/LINK.md sections 1, 3, 4 and 5."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import (
    AbiMismatch,
    BoardError,
    DeviceRefused,
    LineLost,
    LinkError,
    LinkTimeout,
    NoDevice,
    NotEcedge,
    PolicyError,
    UsageError,
)
from ..model import Policy
from . import learning, messages
from .codec import BITS_PER_BYTE, REPLY_BIT, FrameReader, Packet, encode_frame, frame_size
from .messages import (
    PERIOD_MOST,
    DeviceMode,
    EpisodeResult,
    Hello,
    Limit,
    MessageType,
    Observation,
    Status,
    StepReply,
    TrackReply,
    TrackStep,
)
from .transport import Transport
from .upload import send_image

DATA_HEADER = 4  # bytes before the data of PEEK's reply
LIMITS_HEADER = 4
LARGEST_REPLY = 48 + 2 * 64  # STATUS of 64 outputs; only PEEK's is larger


#: seconds within which a line that broke must open again
REOPEN_DEADLINE = 3.0
#: seconds without talk after which both ends go back from a negotiated speed; and what both take
#: to change theirs
BAUD_HOLD = 2.0
BAUD_CHANGE = 0.05
#: speeds that ports and boards have, the fastest first
USUAL_BAUDS = 3_000_000, 2_000_000, 1_000_000, 921_600, 500_000, 460_800, 250_000, 230_400
#: a host asks again when it has waited for so many times the usual round trip, at least so long
ROUND_TRIPS = 4.0
SOONEST = 0.02


@dataclass(frozen=True)
class Patience:
    """How long to wait for a reply: `tries` times `deadline` seconds in all.

    A host asks again after `deadline` seconds at the latest; after `first`, as long as it does not
    know how soon such a request is answered.
    """

    deadline: float
    tries: int
    first: float = 0.25


#: docs/LINK.md section 5; the line's own time comes on top
PATIENCE = {
    MessageType.HELLO: Patience(3.0, 3, 0.5),
    MessageType.UPLOAD_COMMIT: Patience(10.0, 2, 1.0),
}
USUAL_PATIENCE = Patience(1.0, 4)


@dataclass
class LinkStatistics:
    """What the host counted since it connected."""

    requests: int = 0
    resends: int = 0
    stray_replies: int = 0
    bad_frames: int = 0
    reopened: int = 0  # times that the line broke and was opened again
    blocks: int = 0  # of uploads, those that were sent again too
    lost_blocks: int = 0


@dataclass
class Question:
    """A request that was sent. line_time: seconds that it, its reply and what was before them take
    on the line. begin, sent: when it was sent first, and last. loss: how the line broke over it."""

    packet: Packet
    frame: bytes
    line_time: float
    begin: float
    sent: float = 0.0
    asked: int = 0
    loss: LineLost | None = None


class Device:
    """A connected device; a context manager that stops it and closes the line.

        with Device(open_transport("socket://127.0.0.1:5000")) as device:
            device.upload(policy)
            device.reset()
            reply = device.step(raw)

    trace: called with ("host" or "device", bytes) for all that goes over the line.
    clock: seconds that only go up; `round_trip` holds those of the last request, resends included.
    Every method raises LinkTimeout when the device stops answering and DeviceRefused when it
    answers with an error code; after a restart of the device that is code SESSION. A line that
    breaks is opened again, and the session goes on; LineLost where that fails.
    fastest: the line's speed for uploads and episodes, or what comes nearest below of what both
    ends can have; None leaves it as it was opened.
    """

    def __init__(
        self,
        transport: Transport,
        trace: Callable[[str, bytes], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        fastest: int | None = None,
    ):
        self.transport = transport
        self.fastest = fastest
        self.trace = trace
        self.clock = clock
        self.hello: Hello | None = None
        self.round_trip = 0.0
        self.statistics = LinkStatistics()
        self._reader = FrameReader()
        self._session = 0
        self._sequence = 0
        self._usual: dict[int, float] = {}  # seconds to a reply, by request
        self._closed = False
        self._slow_baud: int | None = None  # of the line when it was opened, while it has another
        self._answered = 0.0  # when the last reply came
        self._heard = 0  # bytes since connect began, and frames that are replies: not our own echo
        self._replies = 0

    def __enter__(self) -> Device:
        try:
            if self.hello is None:
                self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None or not issubclass(kind, LinkError):
                self.stop()
        except LinkError:
            pass  # the device falls to its safe action by itself
        finally:
            self.close()

    def close(self) -> None:
        self._closed = True
        self.transport.close()

    def connect(self) -> Hello:
        """Begins a session; again after a restart of either side.

        Raises NoDevice when nothing answers, NotEcedge when something else does, AbiMismatch when
        its versions are not ours.
        """
        self._session = random.SystemRandom().randint(1, 0xFFFF)
        self._usual.clear()
        self._heard = self._replies = 0
        try:
            return self._say_hello()
        except LinkTimeout as error:
            name = self.transport.name
            if self._replies:
                raise LinkTimeout(
                    f"An ecedge device answers on {name}, but not to this host.",
                    "Close the other program that uses it, then connect again.",
                ) from error
            if self._heard:
                raise NotEcedge(
                    f"{self._heard} bytes came from {name}, but no frame of an ecedge device.",
                    "Check the port and the baud rate, and that the board runs ecedge firmware.",
                ) from error
            raise NoDevice(
                f"Nothing answers on {name}.",
                "Check the port, the power and that the board was flashed.",
            ) from error

    def reset(self, digest: bool = True, silence_ms: int = 0, member: int | None = None) -> None:
        """Begins an episode, with a running digest of the state if wanted.

        The device makes itself safe after `silence_ms` (10 … 60000) without a step; 0 leaves it to
        the device. member: of a policy that evolves there, which is drawn first.
        """
        self._hurry()
        request = messages.reset_request(digest, silence_ms)
        if member is None:
            self.request(MessageType.RESET, request)
        else:
            self.request(MessageType.MEMBER, learning.member_request(member) + request)

    def step(self, raw) -> StepReply:
        """One control step. raw: (n_obs,) int16 counts."""
        counts = np.asarray(raw)
        if counts.shape != (self.hello.n_obs,) or counts.dtype != np.int16:
            raise PolicyError(
                f"The device's policy takes {self.hello.n_obs} int16 counts, "
                f"not {counts.dtype} of shape {counts.shape}.",
                "Encode observations with the policy's observation_map.encode().",
            )
        reply = StepReply.LAYOUT.size + 2 * self.hello.n_act
        payload = self.request(MessageType.STEP, messages.step_request(counts), reply)
        return StepReply.unpack(payload, self.hello.n_act)

    def begin_tracks(self, count: int) -> int:
        """Lays out up to `count` networks of the policy in use, which drive no plant, each on a
        track of its own; how many the device has room for. 0 on
        firmware that knows no tracks.

        They end with `stop`, an upload and evolution. An episode that runs is over.
        """
        self._hurry()
        try:
            self.request(MessageType.TRACKS, messages.tracks_request(count))
        except DeviceRefused as refusal:
            if refusal.code == messages.ErrorCode.TYPE:
                return 0
            if refusal.code != messages.ErrorCode.CAPACITY:
                raise
            count = refusal.detail
            self.request(MessageType.TRACKS, messages.tracks_request(count))
        return count

    @property
    def tracks_at_once(self) -> int:
        """Steps of tracks that one request can ask for."""
        hello = self.hello
        reply = max(hello.max_payload, 48 + 2 * hello.max_act) - messages.TRACKS_HEAD.size
        return min(
            hello.max_payload // TrackStep.size(hello.n_obs), reply // TrackReply.size(hello.n_act)
        )

    def ask_tracks(self, steps: Sequence[TrackStep]) -> Question:
        """Asks for a control step of each of these tracks, at most `tracks_at_once`. While the
        device takes them, the host may compute; then `answer_tracks`."""
        size = messages.TRACKS_HEAD.size + len(steps) * TrackReply.size(self.hello.n_act)
        return self.ask(MessageType.TRACKS_STEP, b"".join(step.pack() for step in steps), size)

    def answer_tracks(self, question: Question) -> tuple[list[TrackReply], int]:
        """(what came of each step, the ticks of all)."""
        count = len(question.packet.payload) // TrackStep.size(self.hello.n_obs)
        payload = self.answer(question)
        return messages.unpack_track_replies(payload, count, self.hello.n_act)

    def upload(self, policy: Policy, progress: Callable[[int, int], None] | None = None) -> None:
        """Puts a policy into the device's RAM and into use.

        progress: called with (bytes received, bytes in all). Raises BoardError before a byte is
        sent when the device has no room, PolicyError when the policy has no golden trace to prove
        itself by, DeviceRefused when the device does not accept the image. An upload that broke
        off goes on where it was when the same policy is uploaded again, by whatever host.
        """
        if not policy.golden_steps:
            raise PolicyError(
                "The policy has no golden trace, and a device takes none without.",
                "Give it one: ecedge.reference.with_golden_trace(policy)",
            )
        self._check_capacity(policy)
        self._hurry()
        try:
            send_image(self, policy.image, progress)
            accepted = messages.unpack_committed(self.request(MessageType.UPLOAD_COMMIT))
        except DeviceRefused as refusal:
            if refusal.code != messages.ErrorCode.SESSION:
                self._say_hello()  # the built-in policy is in use again
            raise
        self._say_hello()
        if accepted != policy.hash or self.hello.policy_hash != policy.hash:
            raise LinkError(
                f"The device runs policy {self.hello.policy_hash}, not {policy.hash}.",
                "Upload it again.",
            )

    def status(self) -> Status:
        return Status.unpack(self.request(MessageType.STATUS))

    def stop(self) -> DeviceMode:
        """The safe action, and the end of the episode."""
        return messages.unpack_mode(self.request(MessageType.STOP), "STOP")

    def peek(self, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of the network's state in the order of the digest; all of it by default."""
        end = self.hello.state_size if length is None else offset + length
        most = self.hello.max_payload - DATA_HEADER
        state = b""
        while (at := offset + len(state)) < end:
            size = min(most, end - at)
            question = messages.peek_request(at, size)
            payload = self.request(MessageType.PEEK, question, DATA_HEADER + size)
            state += messages.unpack_bytes(payload, size, "PEEK")
        return state

    def limit(self, limits: Sequence[Limit], first: int = 0) -> list[Limit]:
        """Keeps the outputs from number `first` on to these limits, until others are set or the
        device restarts. What holds now, which is narrower where the plant bears less."""
        most = (self.hello.max_payload - LIMITS_HEADER) // Limit.LAYOUT.size
        held: list[Limit] = []
        while chunk := limits[len(held) : len(held) + most]:
            payload = messages.limits_request(chunk, first + len(held))
            reply = self.request(MessageType.LIMITS, payload)
            held += messages.unpack_limits(reply, len(chunk))
        return held

    def begin_episode(self, seed: int, steps: int, period: int = 0, silence_ms: int = 0) -> None:
        """Begins an episode of at most `steps` by the device's own clock and plant.

        period: ticks between steps, at most PERIOD_MOST; 0 is as fast as the device can. The device
        makes itself safe after `silence_ms` (10 … 60000) without a `result()`; 0: never.
        """
        self.request(MessageType.EPISODE, messages.episode_request(seed, steps, period, silence_ms))

    def result(self) -> EpisodeResult:
        """The last device-clocked episode, as far as it is; keeps the one that runs going."""
        return EpisodeResult.unpack(self.request(MessageType.RESULT))

    def begin_hosted(self, seed: int, steps: int, period: int, silence_ms: int) -> Observation:
        """Begins an episode of at most `steps` in which this host acts on the device's plant.

        period: ticks between observations, at most a second; 0 is as fast as the host acts. The
        device makes itself safe after `silence_ms` (10 … 60000) without an `act()`.
        """
        self._hurry()
        question = messages.episode_request(seed, steps, period, silence_ms)
        seen = self._observe(MessageType.BEGIN, question)
        # An ACT is answered when its period is over: nobody asks again before.
        self._usual[MessageType.ACT] = self._usual[MessageType.BEGIN] + period / self.hello.tick_hz
        return seen

    def act(self, outputs) -> Observation:
        """A step of the hosted episode. outputs: (n_act,) int16, 2048 is 1.0. What the plant shows
        when the period is over."""
        values = np.asarray(outputs)
        if values.shape != (self.hello.n_act,) or values.dtype != np.int16:
            raise PolicyError(
                f"The device's plant takes {self.hello.n_act} int16 outputs, "
                f"not {values.dtype} of shape {values.shape}.",
                "Encode actions with ecedge.model.encode_action().",
            )
        return self._observe(MessageType.ACT, messages.act_request(values))

    def _observe(self, kind: MessageType, question: bytes) -> Observation:
        numbers = self.hello.n_obs, self.hello.n_act
        payload = self.request(kind, question, Observation.size(*numbers))
        return Observation.unpack(payload, *numbers)

    def check_policy(self, policy: Policy) -> None:
        """PolicyError unless the device runs this policy."""
        if self.hello.policy_hash != policy.hash:
            raise PolicyError(
                f"The device runs policy {self.hello.policy_hash}, not {policy.hash}.",
                "Upload it first.",
            )

    def set_baud(self, baud: int) -> bool:
        """Gives the line another speed; False, and the speed as it was, where an end cannot have it
        or nothing comes through. Both ends go back after BAUD_HOLD seconds without talk."""
        if self.transport.baud is None:
            return False  # whose speed it is, is not known here
        try:
            self.request(MessageType.SPEED, messages.speed_request(baud), 2)
        except DeviceRefused as refusal:
            if refusal.code not in (messages.ErrorCode.ARGUMENT, messages.ErrorCode.TYPE):
                raise
            return False
        slow = self._slow_baud or self.transport.baud
        if self.transport.set_baud(baud):
            self._slow_baud = slow
        change_until = self.clock() + BAUD_CHANGE
        while (left := change_until - self.clock()) > 0:
            self.transport.read(left)
        self.status()
        return self.transport.baud == baud

    def _hurry(self) -> None:
        """Brings the line to the speed that it can have, up to `fastest`."""
        self._slow_down()
        if self.fastest is None or self._slow_baud:
            return
        faster = (self.transport.baud or 0) + 1
        usual = [baud for baud in USUAL_BAUDS if faster <= baud < self.fastest]
        wanted = [self.fastest, *usual] if faster <= self.fastest else []
        self.fastest = next((baud for baud in wanted if self.set_baud(baud)), None)

    def _slow_down(self) -> None:
        """Goes back to the speed that the line was opened with, once the device has."""
        if self._slow_baud and self.clock() - self._answered > BAUD_HOLD:
            self.transport.set_baud(self._slow_baud)
            self._slow_baud = None

    def request(
        self, kind: int, payload: bytes = b"", reply_size: int = LARGEST_REPLY, queued: int = 0
    ) -> bytes:
        """Sends one request until its reply comes; the reply's payload, status byte included.

        The same frame goes again and again, over a line that was opened again too, so the request
        takes effect once. How long the line takes, where its speed is known, is told by two numbers
        of bytes: reply_size of the payload, at most, and queued that were sent before.
        """
        return self.answer(self.ask(kind, payload, reply_size, queued))

    def ask(
        self, kind: int, payload: bytes = b"", reply_size: int = LARGEST_REPLY, queued: int = 0
    ) -> Question:
        """Sends one request, and waits for nothing: blocks may follow it, and its `answer` must be
        had before the next request."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = Packet(kind, self._session, self._sequence, payload)
        frame = encode_frame(packet)
        line_time = self._line_time(queued + len(frame) + frame_size(reply_size))
        question = Question(packet, frame, line_time, begin=self.clock())
        self.statistics.requests += 1
        self._put(question, b"\0" if kind == MessageType.HELLO else b"")
        return question

    def answer(self, question: Question) -> bytes:
        """The reply to what was asked, as `request` tells."""
        kind = question.packet.type
        patience = PATIENCE.get(kind, USUAL_PATIENCE)
        seconds = patience.tries * (patience.deadline + question.line_time)
        end, mend_until = question.begin + seconds, None
        while True:
            try:
                if question.loss:
                    raise question.loss
                again = question.sent + self._wait(kind, patience) + question.line_time
                reply = self._await(question.packet, min(end, again))
            except LineLost as loss:
                reply = None
                if mend_until is None:
                    end += REOPEN_DEADLINE
                    mend_until = self.clock() + REOPEN_DEADLINE
                elif self.hello is None and self.clock() > mend_until:
                    raise  # whoever listens there hangs up on us
                self._reopen(loss)
            if reply is not None:
                now = self.clock()
                self.round_trip = now - question.begin
                self._answered = now
                self._learn(kind, now - question.sent - question.line_time)
                messages.check_status(reply.payload, kind)
                return reply.payload
            if self.clock() >= end:
                break
            self.statistics.resends += 1
            self._put(question, b"\0")  # whatever stood half-sent must not spoil this frame
        raise LinkTimeout(
            f"{self.transport.name} did not answer {messages.MessageType(kind).name} "
            f"within {seconds:.1f} s, asked {question.asked} times.",
            "Check the cable and the power, then connect again.",
        )

    def _put(self, question: Question, lead: bytes) -> None:
        """Sends a question, `lead` before it; a line that breaks over it is `answer`'s to mend."""
        self._slow_down()
        question.asked += 1
        question.sent, question.loss = self.clock(), None
        try:
            self._send(lead + question.frame)
        except LineLost as loss:
            question.loss = loss

    def send_block(self, index: int, payload: bytes) -> None:
        """An UPLOAD_BLOCK, which has no reply. A line that breaks is opened again, without it."""
        packet = Packet(MessageType.UPLOAD_BLOCK, self._session, index, payload)
        try:
            self._send(encode_frame(packet))
        except LineLost as loss:
            self._reopen(loss)

    def _wait(self, kind: int, patience: Patience) -> float:
        """Seconds, without the line's own time, after which a request is sent again."""
        if kind not in self._usual:
            # Bytes without a frame: someone is there, and the line is bad.
            first = SOONEST if self._heard and self.hello is None else patience.first
            return min(first, patience.deadline)
        return min(max(ROUND_TRIPS * self._usual[kind], SOONEST), patience.deadline)

    def _learn(self, kind: int, seconds: float) -> None:
        """A reply came so long after it was last asked for."""
        usual = self._usual.get(kind, seconds)
        self._usual[kind] = usual + (seconds - usual) / 4

    def _reopen(self, loss: LineLost) -> None:
        """Opens the line again; raises `loss` where we closed it ourselves."""
        if self._closed:
            raise loss
        self.transport.reopen(REOPEN_DEADLINE)
        self.statistics.reopened += 1
        self._reader.feed(b"\0")  # half a reply of the old line is none of the new one

    def _say_hello(self) -> Hello:
        payload = self.request(MessageType.HELLO, messages.hello_request())
        theirs = Hello.versions(payload)
        ours = (messages.LINK_VERSION, messages.IMAGE_VERSION)
        if theirs != ours:
            raise AbiMismatch(
                f"The device speaks link version {theirs[0]} and image version {theirs[1]}; "
                f"this ecedge speaks {ours[0]} and {ours[1]}.",
                "Build and flash its firmware with this ecedge, or install the one it came from.",
            )
        self.hello = Hello.unpack(payload)
        return self.hello

    def _check_capacity(self, policy: Policy) -> None:
        spec, hello = policy.spec, self.hello
        needs = {
            "bytes of policy image": (len(policy.image), hello.max_image),
            "observations": (spec.n_obs, hello.max_obs),
            "outputs": (spec.n_act, hello.max_act),
            "neurons": (spec.n_neurons, hello.max_neurons),
            "bytes in a STEP request": (2 * spec.n_obs, hello.max_payload),
        }
        lacking = [f"{n} {what} (it has {has})" for what, (n, has) in needs.items() if n > has]
        if lacking:
            raise BoardError(
                f"The policy does not fit {hello.board}: it needs {', '.join(lacking)}.",
                "Use a smaller network, or build the firmware with a larger capacity.",
            )

    def _line_time(self, size: int) -> float:
        """Seconds that so many bytes spend on the line."""
        return size * BITS_PER_BYTE / self.transport.baud if self.transport.baud else 0.0

    def _send(self, data: bytes) -> None:
        if self.trace:
            self.trace("host", data)
        self.transport.write(data)

    def _await(self, request: Packet, deadline: float) -> Packet | None:
        """The reply to `request`, or None at the deadline. Drops all that is not it."""
        while (left := deadline - self.clock()) > 0:
            data = self.transport.read(left)
            if not data:
                continue
            self._heard += len(data)
            if self.trace:
                self.trace("device", data)
            replies = self._reader.feed(data)
            self._replies += sum(packet.type & REPLY_BIT > 0 for packet in replies)
            self.statistics.bad_frames = self._reader.bad_frames
            matching = [packet for packet in replies if packet.answers(request)]
            self.statistics.stray_replies += len(replies) - len(matching)
            if matching:
                return matching[0]
        return None


def period_ticks(device: Device, period_ms: float, most: int = PERIOD_MOST) -> int:
    """A period in the device's ticks; UsageError for one that its clock cannot measure, or with
    more than `most`."""
    if period_ms == 0:
        return 0
    hz = device.hello.tick_hz
    ticks = round(period_ms * hz / 1000) if period_ms > 0 else 0
    if not 1 <= ticks <= most:
        raise UsageError(
            f"{device.hello.board} cannot pace steps by {period_ms:g} ms.",
            f"Give {1000 / hz:.2g} … {1000 * most / hz:.6g} ms, or 0 for as fast as it can.",
        )
    return ticks
