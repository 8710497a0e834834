/* A port and a rig around firmware/app/main.c: the reply to a STEP blocks the line for 1 s. The host
 * that sent it is silent from then on, for longer than it allowed: the plant must be safe before the
 * application sleeps again. Ends with 0 when it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_config.h"
#include "ec_device.h"
#include "ec_port.h"
#include "ec_rig.h"
#include "policy.h"

#define SESSION    7
#define SILENCE_MS 500
#define BLOCKS_MS  1000

static uint32_t now_ms;
static unsigned applied;
static bool safe;

static void apply_outputs(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    (void)outputs;
    (void)n;
    applied++;
    safe = false;
}

static void make_safe(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    (void)outputs;
    (void)n;
    safe = true;
}

ec_rig ec_rig_open(void)
{
    return (ec_rig){.apply = apply_outputs, .safe = make_safe};
}

static uint32_t request(uint8_t *line, uint8_t type, uint16_t sequence, uint8_t *payload, uint32_t size)
{
    uint8_t packet[EC_PACKET_SIZE(64)] = {type};
    ec_put16(packet + 2, SESSION);
    ec_put16(packet + 4, sequence);
    memcpy(packet + EC_PACKET_HEADER, payload, size);
    return ec_frame_encode(line, packet, EC_PACKET_HEADER + size);
}

static uint32_t ask(uint8_t *line, uint16_t sequence)
{
    uint8_t payload[64] = {0};
    switch (sequence) {
    case 1:
        ec_put32(payload, EC_LINK_MAGIC);
        return request(line, EC_HELLO, sequence, payload, 6);
    case 2:
        ec_put32(payload + 4, SILENCE_MS);
        return request(line, EC_RESET, sequence, payload, 8);
    case 3:
        return request(line, EC_STEP, sequence, payload, 2u * ec_get16((const uint8_t *)ec_policy_image + 12));
    default:
        return 0;
    }
}

/* HELLO, RESET, STEP, and nothing more. */
uint32_t ec_port_read(uint8_t *bytes, uint32_t capacity)
{
    static uint8_t line[EC_FRAME_SIZE(EC_PACKET_SIZE(64))];
    static uint32_t read, size;
    static uint16_t asked;
    if (read == size) {
        read = 0;
        size = ask(line, ++asked);
    }
    uint32_t count = size - read < capacity ? size - read : capacity;
    memcpy(bytes, line + read, count);
    read += count;
    return count;
}

void ec_port_write(const uint8_t *bytes, uint32_t length)
{
    (void)bytes;
    (void)length;
    if (applied > 0)
        now_ms += BLOCKS_MS;
}

bool ec_port_can_baud(uint32_t baud)
{
    (void)baud;
    return false;
}

void ec_port_set_baud(uint32_t baud)
{
    (void)baud;
}

void ec_port_idle(uint32_t ticks)
{
    (void)ticks;
    printf("%u steps applied, %s\n", applied, safe ? "safe" : "not safe");
    exit(applied == 1 && safe ? 0 : 1);
}

void ec_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
}

uint32_t ec_port_milliseconds(void)
{
    return now_ms;
}

uint32_t ec_port_ticks(void)
{
    return 0;
}

uint32_t ec_port_tick_hz(void)
{
    return 1;
}

uint8_t ec_port_reset_cause(void)
{
    return EC_CAUSE_UNKNOWN;
}

uint32_t ec_port_boot_count(void)
{
    return 0;
}

const uint8_t *ec_port_chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
