"""An image into a device's memory, in blocks: docs/LINK.md, UPLOAD_OPEN and UPLOAD_BLOCK.

    host                                             device
      UPLOAD_OPEN size, name, block           ────>
                                              <────  what is there: an upload goes on where it was
      UPLOAD_BLOCK … UPLOAD_BLOCK             ────>  no replies
      UPLOAD_OPEN, the same again             ────>
                                              <────  what is there now; what is missing goes again

How long a block may be is found on the way: the longest on a good line, on a bad one what brings
the most bytes through.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import LinkTimeout
from .codec import BITS_PER_BYTE, frame_size
from .messages import MessageType, UploadState, upload_block, upload_open_request

if TYPE_CHECKING:
    from .device import Device

BLOCK_HEADER = 1  # bytes before the data of an UPLOAD_BLOCK
OVERHEAD = frame_size(BLOCK_HEADER)  # of a block on the line
LEAST_BLOCK = 16
LONGEST_WINDOW = 0.5  # seconds that the line may take for all of it
FIRST_WINDOW = 2048  # bytes, where nobody knows the line's speed; then twice as many each time
WORTH_IT = (0.7, 1.4)  # blocks of another size: what came behind the first gap is sent again
#: windows of which nothing came through, one after another
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
    first = LONGEST_WINDOW * baud / BITS_PER_BYTE if baud else FIRST_WINDOW
    longest = max(int(first) // most, 1)  # blocks in a window
    trouble = told = fruitless = 0
    block = most
    state = _ask(device, image, block)
    while state.received < len(image):
        begin = device.clock()
        missing = state.missing(len(image), block, longest)
        for index in missing:
            chunk = image[index * block : (index + 1) * block]
            device.send_block(index, upload_block(state.upload, chunk))
        queued = len(missing) * frame_size(BLOCK_HEADER + block)
        state = _ask(device, image, block, queued)
        if device.clock() - begin < LONGEST_WINDOW:
            longest = min(2 * longest, state.window)
        lost = sum(not state.has(index, block) for index in missing)
        device.statistics.blocks += len(missing)
        device.statistics.lost_blocks += lost
        fruitless = fruitless + 1 if lost == len(missing) else 0
        if fruitless == FRUITLESS:
            raise LinkTimeout(
                f"The line to {device.transport.name} answers, but no block of {block} bytes of "
                f"the policy came through, tried {FRUITLESS} times.",
                "Check the cable and the baud rate, then upload it again.",
            )
        trouble += (loss_rate(lost, len(missing), block) - trouble) / 2
        if not WORTH_IT[0] < (best := best_block(trouble, most)) / block < WORTH_IT[1]:
            block = best
            state = _ask(device, image, block)
        if progress and state.received > told:
            told = state.received
            progress(told, len(image))


def _ask(device: Device, image: bytes, block: int, queued: int = 0) -> UploadState:
    """What the device has, `queued` bytes behind which the question stands on the line."""
    name = int.from_bytes(hashlib.sha256(image).digest()[:4], "little")
    question = upload_open_request(len(image), name, block)
    size = UploadState.LAYOUT.size
    return UploadState.unpack(device.request(MessageType.UPLOAD_OPEN, question, size, queued))


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
