"""An image into a device's memory, in blocks: docs/LINK.md, UPLOAD_OPEN and UPLOAD_BLOCK.

    host                                             device
      UPLOAD_OPEN size, name, block           ────>
                                              <────  what is there: an upload goes on where it was
      UPLOAD_BLOCK … UPLOAD_BLOCK             ────>  no replies
      UPLOAD_OPEN, the same again             ────>
      UPLOAD_BLOCK … UPLOAD_BLOCK             ────>
                                              <────  what was there at the question; what is missing
      UPLOAD_OPEN …                           ────>  goes again

While a reply is on its way, so is the next half of a window: the line never waits for the host. On
a bad line, which loses questions too, there are as few as can be: whole windows, one by one.
How long a block may be is found on the way: the longest on a good line, on a bad one what brings
the most bytes through.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import LinkTimeout
from .codec import BITS_PER_BYTE, frame_size
from .messages import MessageType, UploadState, upload_block, upload_open_request

if TYPE_CHECKING:
    from .device import Device, Question

BLOCK_HEADER = 1  # bytes before the data of an UPLOAD_BLOCK
OVERHEAD = frame_size(BLOCK_HEADER)  # of a block on the line
LEAST_BLOCK = 16
LONGEST_TURN = 0.5  # seconds that the line may take for the blocks between two questions
FIRST_TURN = 2048  # bytes, where nobody knows the line's speed; then twice as many each time
WORTH_IT = (0.7, 1.4)  # blocks of another size: what came behind the first gap is sent again
#: turns of which nothing came through, one after another
FRUITLESS = 30


def send_image(
    device: Device, image: bytes, progress: Callable[[int, int], None] | None = None
) -> None:
    """Sends what the device does not have of the image, until it has it all.

    progress: as of `Device.upload`. Raises LinkTimeout when nothing comes through, and whatever
    requests raise; what came is kept by the device until it restarts or another upload begins.
    """
    most = device.hello.max_payload - BLOCK_HEADER
    baud = device.transport.baud
    first = LONGEST_TURN * baud / BITS_PER_BYTE if baud else FIRST_TURN
    turns = _Turns(device, image, most, most, max(int(first) // most, 1))
    trouble = told = fruitless = 0
    state = turns.answer(turns.ask())
    sent = turns.send(state)
    while state.received < len(image):
        asked, question = sent, turns.ask(sent)
        sent = turns.send(state, asked) if turns.line_is_good else []
        state = turns.answer(question)
        if device.clock() - question.begin < LONGEST_TURN:
            turns.longest = min(2 * turns.longest, state.window)
        lost = sum(not state.has(index, turns.block) for index in asked)
        device.statistics.lost_blocks += lost
        if asked:
            fruitless = fruitless + 1 if lost == len(asked) else 0
        if fruitless == FRUITLESS:
            raise LinkTimeout(
                f"The line to {device.transport.name} answers, but no block of {turns.block} bytes "
                f"of the policy came through, tried {FRUITLESS} times.",
                "Check the cable and the baud rate, then upload it again.",
            )
        trouble += (loss_rate(lost, len(asked), turns.block) - trouble) / 2
        best = best_block(trouble, most)
        if not WORTH_IT[0] < best / turns.block < WORTH_IT[1]:
            turns.block = best
            state, sent = turns.answer(turns.ask(sent)), []
        sent = sent or turns.send(state)
        if progress and state.received > told:
            told = state.received
            progress(told, len(image))


@dataclass
class _Turns:
    """Questions, and the blocks between them.

    most, block: bytes of one, at most and now. longest: blocks in a turn, at most.
    """

    device: Device
    image: bytes
    most: int
    block: int
    longest: int

    @property
    def line_is_good(self) -> bool:
        return self.block == self.most

    def ask(self, sent: Sequence[int] = ()) -> Question:
        """What does the device have? `sent`: blocks that stand on the line before that."""
        name = int.from_bytes(hashlib.sha256(self.image).digest()[:4], "little")
        question = upload_open_request(len(self.image), name, self.block)
        queued = len(sent) * frame_size(BLOCK_HEADER + self.block)
        size = UploadState.LAYOUT.size
        return self.device.ask(MessageType.UPLOAD_OPEN, question, size, queued)

    def answer(self, question: Question) -> UploadState:
        return UploadState.unpack(self.device.answer(question))

    def send(self, state: UploadState, asked: Sequence[int] = ()) -> list[int]:
        """A turn of what is missing and was not asked for just now; which blocks."""
        missing = [i for i in state.missing(len(self.image), self.block) if i not in asked]
        share = max(state.window // 2, 1) if self.line_is_good else state.window
        turn = missing[: min(self.longest, share)]
        for index in turn:
            chunk = self.image[index * self.block : (index + 1) * self.block]
            self.device.send_block(index, upload_block(state.upload, chunk))
        self.device.statistics.blocks += len(turn)
        return turn


def loss_rate(lost: int, sent: int, block: int) -> float:
    """Faults a byte of a line that lost so many of the blocks."""
    return -math.log(1 - lost / (sent + 1)) / (OVERHEAD + block)


def best_block(rate: float, most: int) -> int:
    """The block that brings the most data through a byte of the line: of data / (data + overhead)
    times the chance that no byte of it meets a fault."""
    if rate == 0:
        return most
    best = (math.sqrt(OVERHEAD**2 + 4 * OVERHEAD / rate) - OVERHEAD) / 2
    return round(min(max(best, LEAST_BLOCK), most))
