/* A port that compiles and does nothing: copy the folder, fill it in. ec_port.h is the contract.
 *
 * Besides this file a port has what its chips need from reset to main: a vector table, .data and
 * .bss, and memcpy, memmove, memset, memcmp for -nostdlib (ports/cmsdk shows one way). What differs
 * between boards of the family (addresses, pins, clocks) comes from the board's board.h.
 */
#include "ec_port.h"

#include "ec_config.h"
#include "ec_device.h"

void ec_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    /* Clock: EC_CLOCK_HZ. Bound every wait for it; go on with what there is.
     * Reset cause: read it before anything clears it.
     * Free-running counter: start it at 0.
     * Serial line: EC_BAUD, 8N1, receive interrupt into a ring of EC_REQUEST_SIZE(EC_MAX_PAYLOAD)
     * bytes and a few more. Where a byte is lost, nothing else needs doing: the frame's CRC tells.
     * A periodic interrupt that ends ec_port_idle after EC_PORT_IDLE_MS. */
}

uint32_t ec_port_read(uint8_t *bytes, uint32_t capacity)
{
    /* Copy out of the ring. */
    (void)bytes;
    (void)capacity;
    return 0;
}

void ec_port_write(const uint8_t *bytes, uint32_t length)
{
    /* Wait for room in the transmitter before each byte; one deadline for the whole call. */
    (void)bytes;
    (void)length;
}

void ec_port_idle(void)
{
    /* With interrupts masked: if the ring is empty, wait for an interrupt. Unmask. */
}

uint32_t ec_port_milliseconds(void)
{
    /* Whole milliseconds of ec_port_ticks, summed up: see ports/cmsdk. */
    return 0;
}

uint32_t ec_port_ticks(void)
{
    return 0;
}

uint32_t ec_port_tick_hz(void)
{
    return EC_CLOCK_HZ;
}

uint8_t ec_port_reset_cause(void)
{
    return EC_CAUSE_UNKNOWN;
}

uint32_t ec_port_boot_count(void)
{
    /* A word in memory that start-up leaves alone, with a magic number beside it; or 0. */
    return 0;
}

const uint8_t *ec_port_chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
