"""UF2: an image in blocks of 512 bytes, for a boot ROM that shows itself as a USB drive.

    | magic | magic | flags | address | 256 | block | blocks | family | data, 476 bytes | magic |

The first 256 bytes of data count. Numbers are uint32, little-endian; the family says for which
chip (UF2 specification, Microsoft; RP2040 data sheet, 2.8.4.2).
"""

from __future__ import annotations

import struct

from ..errors import BoardError

MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
HAS_FAMILY = 0x2000
PAGE = 256
BLOCK = struct.Struct("<8I476sI")


def encode(origin: int, image: bytes, family: int) -> bytes:
    """A UF2 file with `image` from address `origin` on, filled to whole pages with zeros."""
    pages = [image[i : i + PAGE] for i in range(0, len(image), PAGE)]
    return b"".join(
        BLOCK.pack(
            *(MAGIC[0], MAGIC[1], HAS_FAMILY, origin + PAGE * i, PAGE, i, len(pages), family),
            page,
            MAGIC[2],
        )
        for i, page in enumerate(pages)
    )


def decode(data: bytes, family: int) -> tuple[int, bytes]:
    """(origin, image in whole pages) of a UF2 file; BoardError when it is none for `family`."""
    if not data or len(data) % BLOCK.size:
        raise BoardError("This is no UF2 file: it does not consist of blocks of 512 bytes.")
    blocks = [BLOCK.unpack_from(data, at) for at in range(0, len(data), BLOCK.size)]
    origin = blocks[0][3]
    for i, (start, next_, flags, address, size, number, count, of, _, end) in enumerate(blocks):
        if (start, next_, end) != MAGIC or flags != HAS_FAMILY:
            raise BoardError(f"This is no UF2 file: block {i} does not look like one.")
        if of != family:
            raise BoardError(f"This UF2 file is for family {of:#010x}, not for {family:#010x}.")
        if (address, size, number, count) != (origin + PAGE * i, PAGE, i, len(blocks)):
            raise BoardError(f"This UF2 file is not whole: block {i} does not follow the others.")
    return origin, b"".join(block[8][:PAGE] for block in blocks)


def assembly(image: str, origin: int, family: int) -> str:
    """Source from which an assembler makes the file, of BLOCKS whole pages in the file `image`."""
    return f"""\
    .section .uf2, "a"
    .set block, 0
    .rept BLOCKS
    .4byte {MAGIC[0]:#010x}, {MAGIC[1]:#010x}, {HAS_FAMILY:#x}
    .4byte {origin:#010x} + {PAGE} * block, {PAGE}, block, BLOCKS, {family:#010x}
    .incbin "{image}", {PAGE} * block, {PAGE}
    .zero {BLOCK.size - 36 - PAGE}
    .4byte {MAGIC[2]:#010x}
    .set block, block + 1
    .endr
"""
