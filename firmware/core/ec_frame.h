/* Frames: how a packet travels over a stream of bytes. docs/LINK.md section 1.
 *
 *   packet   | type u8 | 0 u8 | session u16 | sequence u16 | payload ... | crc32 u32 |
 *   line     | COBS(packet) | 00 |
 */
#ifndef EC_FRAME_H
#define EC_FRAME_H

#include "ec_base.h"

#define EC_PACKET_HEADER 6u
#define EC_PACKET_CRC    4u
#define EC_PACKET_REPLY  0x80u /* this bit of the type tells a reply from a request */

/* Bytes of a packet with this payload; how far COBS may run ahead of a packet of this size; bytes
 * that it takes on the line, ending zero included. */
#define EC_PACKET_SIZE(payload) (EC_PACKET_HEADER + (payload) + EC_PACKET_CRC)
#define EC_FRAME_LEAD(packet)   ((packet) / 254u + 1u)
#define EC_FRAME_SIZE(packet)   (EC_FRAME_LEAD(packet) + (packet) + 1u)

/* Receives requests, byte by byte, decoding as they come:
 *
 *             ┌─────── 00, counted unless empty ───────┐
 *             v                                        │
 *      expects a code ──code c──> takes c - 1 bytes ───┤
 *             ^                        │ │             │
 *             └──────── taken ─────────┘ └─overlong─> drops
 */
typedef struct {
    uint8_t *buffer;   /* the packet so far */
    uint32_t capacity; /* bytes of the buffer: EC_PACKET_SIZE of the largest payload */
    uint32_t length;   /* bytes in it */
    uint32_t good;     /* frames received, ever */
    uint32_t bad;      /* frames dropped, ever; empty ones are no frames */
    uint8_t left;      /* bytes to come in this COBS block */
    bool zero_due;     /* a zero stands between this block and the next */
    bool begun;        /* a code came since the last zero byte */
    bool overlong;     /* dropping until the next zero byte */
} ec_frame_receiver;

void ec_frame_receiver_init(ec_frame_receiver *receiver, uint8_t *buffer, uint32_t capacity);

/* Takes one byte from the line. The result is 0, or the size without CRC of a good request that now
 * lies in the buffer, until the next call. */
uint32_t ec_frame_receive(ec_frame_receiver *receiver, uint8_t byte);

/* Writes the frame of a packet to `line`, and returns its bytes. `packet` has `size` bytes, its CRC
 * not counted, and room for the CRC behind them. It may lie in the memory of the line if it begins
 * EC_FRAME_LEAD(size + EC_PACKET_CRC) bytes or more behind it; it is overwritten then. */
uint32_t ec_frame_encode(uint8_t *line, uint8_t *packet, uint32_t size);

#endif
