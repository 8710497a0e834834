/* ARM's Cortex-M System Design Kit peripherals (DDI 0479, chapter 4). The board's board.h says where
 * they are:
 *
 *   BOARD_UART, BOARD_TIMER   base addresses
 *   BOARD_UART_RX_IRQ         interrupt number
 *   BOARD_RESET_INFO          the register that tells why the core was reset, BOARD_RESET_WATCHDOG
 *                             and BOARD_RESET_SOFTWARE its bits, BOARD_RESET_CLEAR(what was read) what
 *                             to write to it so that the next reset is told alone
 */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t ctrl;
    volatile uint32_t intclear; /* reads as INTSTATUS */
    volatile uint32_t bauddiv;  /* 16 or more */
} cmsdk_uart;

#define UART_STATE_TX_FULL (1u << 0)
#define UART_STATE_RX_FULL (1u << 1)
#define UART_CTRL_TX       (1u << 0)
#define UART_CTRL_RX       (1u << 1)
#define UART_CTRL_RX_INT   (1u << 3)
#define UART_INT_RX        (1u << 1)

typedef struct {
    volatile uint32_t ctrl;
    volatile uint32_t value; /* counts down */
    volatile uint32_t reload;
    volatile uint32_t intclear;
} cmsdk_timer;

#define TIMER_CTRL_ENABLE (1u << 0)

void cmsdk_uart_received(void);

#define CHIP_INTERRUPTS [BOARD_UART_RX_IRQ] = cmsdk_uart_received

#endif
