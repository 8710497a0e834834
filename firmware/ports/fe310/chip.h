/* SiFive Freedom E310. Chapters are of the FE310-G002 manual; the G000's registers are the same. The
 * board's board.h tells the crystal: BOARD_CRYSTAL_HZ.
 *
 *   CLINT   mtime, from a clock of 32,768 Hz   ends sleeps
 *   PWM1    counts the core's clock            ticks
 *
 * mcycle would be no clock: it may stand still while the core sleeps.
 */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Memory map: 4 */
#define CHIP_CLINT    0x02000000u
#define CHIP_PLIC     0x0C000000u
#define CHIP_MTIME_HZ fe310_mtime_hz()

/* Clocks: 6 */
#define CRYSTAL_HZ       BOARD_CRYSTAL_HZ
#define PRCI_HFROSCCFG   REGISTER(0x10008000u)
#define PRCI_HFXOSCCFG   REGISTER(0x10008004u)
#define OSC_ENABLE       (1u << 30)
#define OSC_READY        (1u << 31)
#define PRCI_PLLCFG      REGISTER(0x10008008u)
#define PLL_R(divider)   ((divider) - 1u)
#define PLL_F(factor)    (((factor) / 2u - 1u) << 4)
#define PLL_Q_4          (2u << 10)
#define PLL_SELECT       (1u << 16) /* the core's clock: not HFROSC */
#define PLL_FROM_CRYSTAL (1u << 17)
#define PLL_BYPASS       (1u << 18)
#define PLL_LOCK         (1u << 31)
#define PRCI_PLLOUTDIV   REGISTER(0x1000800Cu)
#define PLLOUTDIV_BY_1   (1u << 8)

/* Power management: 15 */
#define AON_PMUCAUSE   REGISTER(0x10000144u)
#define RESET_CAUSE(r) ((r) >> 8 & 3u)
#define RESET_PIN      1u
#define RESET_WATCHDOG 2u

/* Pins: 17. UART0 is the first function of its two. */
#define GPIO_IOF_EN  REGISTER(0x10012038u)
#define GPIO_IOF_SEL REGISTER(0x1001203Cu)
#define GPIO_UART0   (1u << 16 | 1u << 17)

/* UART0: 18 */
#define UART_TXDATA    REGISTER(0x10013000u)
#define UART_FULL      (1u << 31)
#define UART_RXDATA    REGISTER(0x10013004u)
#define UART_EMPTY     (1u << 31)
#define UART_TXCTRL    REGISTER(0x10013008u)
#define UART_RXCTRL    REGISTER(0x1001300Cu)
#define UART_ENABLE    1u /* and 0 as watermark: an interrupt for every byte */
#define UART_IE        REGISTER(0x10013010u)
#define UART_INT_RX    (1u << 1)
#define UART_DIV       REGISTER(0x10013018u)
#define UART0_IRQ      3u

/* PWM1: 20. Its counter has 31 bits. */
#define PWM1_CFG       REGISTER(0x10025000u)
#define PWM_CFG_ALWAYS (1u << 12)
#define PWM1_COUNT     REGISTER(0x10025008u)

uint32_t fe310_mtime_hz(void);
void chip_interrupt(unsigned source);

#endif
