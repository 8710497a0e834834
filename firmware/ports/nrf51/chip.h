/* nRF51 series (nRF51 Series Reference Manual 3.0; chapters in brackets). The board's board.h says
 * which pins the serial line has: BOARD_UART_TX_PIN, BOARD_UART_RX_PIN. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Device identifiers [7], power and clock [12, 13] */
#define FICR_DEVICEID0       REGISTER(0x10000060u)
#define FICR_DEVICEID1       REGISTER(0x10000064u)
#define CLOCK_HFCLKSTART     REGISTER(0x40000000u)
#define CLOCK_HFCLKSTARTED   REGISTER(0x40000100u)
#define POWER_RESETREAS      REGISTER(0x40000400u) /* a one clears a bit */
#define RESETREAS_PIN        (1u << 0)
#define RESETREAS_WATCHDOG   (1u << 1)
#define RESETREAS_SOFTWARE   (3u << 2) /* a request, or a lock-up */

/* Timer [18] */
#define TIMER_START          REGISTER(0x40008000u)
#define TIMER_CAPTURE(n)     REGISTER(0x40008040u + 4u * (n))
#define TIMER_COMPARE(n)     REGISTER(0x40008140u + 4u * (n))
#define TIMER_INTENSET       REGISTER(0x40008304u)
#define TIMER_INT_COMPARE(n) (1u << (16u + (n)))
#define TIMER_BITMODE        REGISTER(0x40008508u)
#define TIMER_BITMODE_32     3u
#define TIMER_PRESCALER      REGISTER(0x40008510u)
#define TIMER_CC(n)          REGISTER(0x40008540u + 4u * (n))

/* Flash [6]: it is read as memory; the core stands still while a page is erased or a word written */
#define NVMC_READY     REGISTER(0x4001E400u)
#define NVMC_CONFIG    REGISTER(0x4001E504u)
#define NVMC_READING   0u
#define NVMC_WRITING   1u
#define NVMC_ERASING   2u
#define NVMC_ERASEPAGE REGISTER(0x4001E508u)

/* Serial line [29] */
#define UART_STARTRX         REGISTER(0x40002000u)
#define UART_STARTTX         REGISTER(0x40002008u)
#define UART_RXDRDY          REGISTER(0x40002108u)
#define UART_TXDRDY          REGISTER(0x4000211Cu)
#define UART_INTENSET        REGISTER(0x40002304u)
#define UART_INT_RXDRDY      (1u << 2)
#define UART_ENABLE          REGISTER(0x40002500u)
#define UART_ENABLED         4u
#define UART_PSELTXD         REGISTER(0x4000250Cu)
#define UART_PSELRXD         REGISTER(0x40002514u)
#define UART_RXD             REGISTER(0x40002518u)
#define UART_TXD             REGISTER(0x4000251Cu)
#define UART_BAUDRATE        REGISTER(0x40002524u)

/* Pins [14]: high before the line is driven, or the other end takes the start for a byte. At reset no
 * input is connected. */
#define GPIO_OUTSET          REGISTER(0x50000508u)
#define GPIO_DIRSET          REGISTER(0x50000518u)
#define GPIO_PIN_CNF(n)      REGISTER(0x50000700u + 4u * (n))
#define PIN_CNF_INPUT_HIGH   (3u << 2) /* an input, connected, high if it is open */

#define UART_IRQ  2u
#define TIMER_IRQ 8u

void nrf51_uart_received(void);
void nrf51_timer_interrupt(void);

#define CHIP_INTERRUPTS [UART_IRQ] = nrf51_uart_received, [TIMER_IRQ] = nrf51_timer_interrupt

#endif
