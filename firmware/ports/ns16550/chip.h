/* A 16550 UART (National Semiconductor PC16550D, section 8) beside a CLINT and a PLIC. The board's
 * board.h tells their places: BOARD_UART, BOARD_UART_IRQ, BOARD_UART_HZ, BOARD_CLINT, BOARD_PLIC,
 * BOARD_MTIME_HZ. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

#define CHIP_CLINT    BOARD_CLINT
#define CHIP_PLIC     BOARD_PLIC
#define CHIP_MTIME_HZ BOARD_MTIME_HZ

#define UART_REGISTER(n) (*(volatile uint8_t *)(BOARD_UART + (n)))
#define UART_DATA        UART_REGISTER(0)
#define UART_IER         UART_REGISTER(1)
#define UART_IER_RECEIVE 1u
#define UART_FCR         UART_REGISTER(2)
#define UART_FCR_ON      7u /* FIFOs on and empty; an interrupt for every byte */
#define UART_LCR         UART_REGISTER(3)
#define UART_LCR_8N1     3u
#define UART_LCR_DIVISOR 0x80u /* the first two registers hold the divisor */
#define UART_LSR         UART_REGISTER(5)
#define UART_LSR_READY   (1u << 0)
#define UART_LSR_EMPTY   (1u << 5)

void chip_interrupt(unsigned source);

#endif
