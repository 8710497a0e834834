/* A port that compiles and does nothing: copy the folder, fill it in. firmware/bare/bare.h is the
 * contract, docs/PORTING.md the way. */
#include "chip.h"

#include "bare.h"

uint8_t chip_reset_cause(bool powered)
{
    /* Read the chip's reset flags, clear them, translate. */
    return powered ? EC_CAUSE_UNKNOWN : EC_CAUSE_POWER_ON;
}

/* Here as if the core's clock were divided by 16 or more. */
const chip_divider chip_line = {EC_CLOCK_HZ, 16, 0xFFFF};

void chip_set_divisor(uint32_t divisor)
{
    (void)divisor;
}

void chip_init(void)
{
    /* Clock: EC_CLOCK_HZ. Bound every wait for it; go on with what there is.
     * Counter: free-running, EC_TICK_HZ.
     * Serial line: EC_BAUD, 8N1; its receive interrupt calls bare_received for every byte.
     * A periodic interrupt that ends sleeps, at least every EC_PORT_IDLE_MS. */
}

bool chip_can_send(void)
{
    return true;
}

void chip_send(uint8_t byte)
{
    (void)byte;
}

uint32_t ec_port_ticks(void)
{
    return 0;
}

const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
