/* The platform, as the application needs it. A port implements these few functions for one family
 * of chips, or for the host, and nothing else: no framing, no network, no retry.
 *
 * Everything is called from the main loop only. A port may include ec_config.h, board.h and
 * ec_device.h (for EC_CAUSE_...).
 */
#ifndef EC_PORT_H
#define EC_PORT_H

#include <stdbool.h>
#include <stdint.h>

#define EC_PORT_IDLE_MS 10 /* the longest sleep */

/* Clocks, serial line, interrupts. Called once, before all else. The arguments are those of main:
 * none on a bare device. Every wait for hardware is bounded. */
void ec_port_init(int argc, char **argv);

/* Takes up to `capacity` bytes that came in; returns how many. Never blocks. The port holds at least
 * one request of EC_MAX_PAYLOAD that comes while a step runs, and drops what it can't hold. */
uint32_t ec_port_read(uint8_t *bytes, uint32_t capacity);

/* Sends. May block for as long as the line takes for all the bytes, and 1 s more in all when nobody
 * takes them: the rest is dropped then. */
void ec_port_write(const uint8_t *bytes, uint32_t length);

/* Whether the line can have this speed, within 2 %, and the program keeps up with its bytes; the
 * board's own it always can. */
bool ec_port_can_baud(uint32_t baud);

/* Gives the line this speed, one that it can have, or 0 for the board's own, when all that was written
 * has left it. Does nothing where the line has it already: called often. */
void ec_port_set_baud(uint32_t baud);

/* Sleeps until bytes came, at most EC_PORT_IDLE_MS and at most `ticks`. May return at any time before:
 * at once, where the port cannot wake so soon. */
void ec_port_idle(uint32_t ticks);

/* Milliseconds since power on; wraps at 2^32. Called at least every EC_PORT_IDLE_MS, or every step. */
uint32_t ec_port_milliseconds(void);

/* A free-running counter for the time of a step, and its rate in Hz. It wraps at 2^32, so a step
 * takes less than 2^32 ticks. Cheap: two calls frame every step. */
uint32_t ec_port_ticks(void);
uint32_t ec_port_tick_hz(void);

/* Flash that is kept for snapshots (ec_snapshot.h): EC_FLASH_PAGES pages of EC_FLASH_PAGE bytes from
 * EC_FLASH_ORIGIN on, as ec_config.h has it from board.toml. Where that has none, none of these is called,
 * and a port need not have them. Every wait is bounded. */
bool ec_port_flash_erase(uint32_t page);
bool ec_port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size);
void ec_port_flash_read(uint32_t offset, uint8_t *bytes, uint32_t size);

/* Why the chip started, EC_CAUSE_...; how often it has, 0 if it can't keep count; and 16 bytes that
 * no other chip has, zeros if it has none (they live for ever). */
uint8_t ec_port_reset_cause(void);
uint32_t ec_port_boot_count(void);
const uint8_t *ec_port_chip_id(void);

#endif
