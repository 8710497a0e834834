/* The vector table. The port's chip.h gives CHIP_INTERRUPTS: its handlers, each behind its number in
 * brackets. An interrupt that is never enabled has no entry of its own. */
#include "avr.h"
#include "chip.h"

void _start(void);

__attribute__((section(".vectors"), used)) static const avr_vector vectors[] = {
    [0] = AVR_TO(_start),
    CHIP_INTERRUPTS,
};
