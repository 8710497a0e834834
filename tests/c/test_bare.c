/* The speeds that a line can have: firmware/bare/bare.c, with a chip that only notes its divisor. The
 * words are speeds; for each it prints the divisor that the line gets, or 0 where it can't have it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"

const chip_divider chip_line = {LINE_HZ, LEAST, MOST};
static uint32_t divisor;

void chip_set_divisor(uint32_t d)
{
    divisor = d;
}

uint32_t ec_port_ticks(void)
{
    static uint32_t ticks;
    return ticks += EC_TICK_HZ / 1000;
}

void chip_init(void) {}
bool chip_can_send(void) { return true; }
void chip_send(uint8_t byte) { (void)byte; }
uint8_t chip_reset_cause(bool powered) { return powered; }
const uint8_t *chip_id(void) { return NULL; }
void cpu_mask(void) {}
void cpu_unmask(void) {}
void cpu_sleep(void) {}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint32_t baud = (uint32_t)strtoul(argv[i], NULL, 10);
        divisor = 0;
        if (ec_port_can_baud(baud)) {
            ec_port_set_baud(baud == EC_BAUD ? 9600 : EC_BAUD);
            ec_port_set_baud(baud == EC_BAUD ? 0 : baud);
        }
        printf("%u\n", (unsigned)divisor);
    }
    return 0;
}
