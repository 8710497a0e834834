/* The registers of a family of chips, with the sections of its reference manual, and its interrupts.
 * Addresses that differ between boards of the family come from the board's board.h. */
#ifndef CHIP_H
#define CHIP_H

#include "board.h"

/* void template_uart_received(void); */
#define CHIP_INTERRUPTS 0 /* [BOARD_UART_IRQ] = template_uart_received */

#endif
