/* What all chips without an operating system share is in bare.c: it implements ec_port.h by the few
 * functions here, which a port gives for its family of chips (chip_...) and firmware/cpu for the
 * architecture (cpu_...).
 *
 *   UART interrupt ──> bare_received ──> ring ──> ec_port_read
 *   ec_port_write  ──> chip_send, a byte at a time, before a deadline
 *   chip_ticks     ──> ec_port_milliseconds
 */
#ifndef BARE_H
#define BARE_H

#include <stdbool.h>
#include <stdint.h>

#include "ec_config.h"
#include "ec_device.h"
#include "ec_port.h"

/* Clock to EC_CLOCK_HZ; a counter that runs freely; the serial line at EC_BAUD, 8N1, with an
 * interrupt for every byte received; and an interrupt that comes at least every EC_PORT_IDLE_MS.
 * Every wait for hardware is bounded: go on with what there is. */
void chip_init(void);

/* How a chip makes the speed of its line: baud = hz / divisor, with a divisor of least ... most. */
typedef struct {
    uint32_t hz;
    uint32_t least;
    uint32_t most;
} chip_divider;

extern const chip_divider chip_line;

/* Gives the line that speed. Called with interrupts off, while no byte is being sent. */
void chip_set_divisor(uint32_t divisor);

/* Whether the transmitter takes a byte now, and a byte for it. */
bool chip_can_send(void);
void chip_send(uint8_t byte);

/* EC_CAUSE_... of this start, read from the chip. `powered`: memory kept its content, so this was
 * no power on. Called once, before chip_init. */
uint8_t chip_reset_cause(bool powered);

/* 16 bytes that no other chip has, or zeros. They live for ever. */
const uint8_t *chip_id(void);

/* The counter is ec_port_ticks, which the port gives itself, at EC_TICK_HZ. */

/* Called by the port's UART interrupt for every byte. One that finds the ring full is dropped. */
void bare_received(uint8_t byte);

/* Interrupts off and on, for the whole core, and sleep: returns when an interrupt is pending, also
 * one that came while they are off, or earlier. */
void cpu_mask(void);
void cpu_unmask(void);
void cpu_sleep(void);

/* Copies what lies in flash: of an architecture whose core reads no data there. */
void cpu_read_flash(void *to, const void *flash, uint16_t size);

#endif
