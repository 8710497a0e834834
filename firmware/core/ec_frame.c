#include "ec_frame.h"

#include "ec_crc.h"

#define BLOCK_MAX 254u /* bytes of the longest COBS block, whose code 0xFF means that no zero follows */

static void expect_frame(ec_frame_receiver *receiver)
{
    receiver->length = 0;
    receiver->left = 0;
    receiver->zero_due = false;
    receiver->begun = false;
    receiver->overlong = false;
}

void ec_frame_receiver_init(ec_frame_receiver *receiver, uint8_t *buffer, uint32_t capacity)
{
    *receiver = (ec_frame_receiver){.buffer = buffer, .capacity = capacity};
}

static void append(ec_frame_receiver *receiver, uint8_t byte)
{
    if (receiver->length == receiver->capacity)
        receiver->overlong = true;
    else
        receiver->buffer[receiver->length++] = byte;
}

static bool is_request(const uint8_t *packet, uint32_t length)
{
    if (length < EC_PACKET_SIZE(0u))
        return false;
    length -= EC_PACKET_CRC;
    return packet[0] != 0 && !(packet[0] & EC_PACKET_REPLY) && packet[1] == 0 &&
           ec_crc32(0, packet, length) == ec_get32(packet + length);
}

static uint32_t end_frame(ec_frame_receiver *receiver)
{
    if (!receiver->begun)
        return 0;
    uint32_t length = receiver->length;
    bool whole = receiver->left == 0 && !receiver->overlong;
    expect_frame(receiver);
    if (!whole || !is_request(receiver->buffer, length)) {
        receiver->bad++;
        return 0;
    }
    receiver->good++;
    return length - EC_PACKET_CRC;
}

uint32_t ec_frame_receive(ec_frame_receiver *receiver, uint8_t byte)
{
    if (byte == 0)
        return end_frame(receiver);
    receiver->begun = true;
    if (receiver->overlong)
        return 0;
    if (receiver->left > 0) {
        receiver->left--;
        append(receiver, byte);
        return 0;
    }
    if (receiver->zero_due)
        append(receiver, 0);
    receiver->left = (uint8_t)(byte - 1);
    receiver->zero_due = receiver->left != BLOCK_MAX;
    return 0;
}

uint32_t ec_frame_encode(uint8_t *line, uint8_t *packet, uint32_t size)
{
    ec_put32(packet + size, ec_crc32(0, packet, size));
    size += EC_PACKET_CRC;

    uint8_t *code = line; /* where the block's code goes once its length is known */
    uint8_t *end = line + 1;
    for (uint32_t i = 0; i < size; i++) {
        uint8_t byte = packet[i];
        if (end - code > (ptrdiff_t)BLOCK_MAX) {
            *code = BLOCK_MAX + 1u;
            code = end++;
        }
        if (byte != 0) {
            *end++ = byte;
        } else {
            *code = (uint8_t)(end - code);
            code = end++;
        }
    }
    *code = (uint8_t)(end - code);
    *end++ = 0;
    return (uint32_t)(end - line);
}
