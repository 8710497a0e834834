/* Raspberry Pi RP2040 (sections are of its data sheet). The board's board.h says which pins:
 *
 *   BOARD_UART_TX_PIN, BOARD_UART_RX_PIN   GPIO numbers that UART0 can have: 1.4.3
 *
 * The crystal is one of 12 MHz: the boot ROM's USB wants no other.
 */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

/* 2.1.2: every register has aliases, a write to which sets or clears bits. */
#define SET_ALIAS   0x2000u
#define CLEAR_ALIAS 0x3000u

/* 2.14 */
#define RESETS           0x4000C000u
#define RESETS_RESET     (RESETS + 0x0u)
#define RESETS_DONE      (RESETS + 0x8u)
#define RESET_IO_BANK0   (1u << 5)
#define RESET_PADS_BANK0 (1u << 8)
#define RESET_PLL_SYS    (1u << 12)
#define RESET_UART0      (1u << 22)

/* 2.15 */
#define CLOCKS              0x40008000u
#define CLK_REF_CTRL        (CLOCKS + 0x30u)
#define CLK_REF_SELECTED    (CLOCKS + 0x38u)
#define CLK_REF_XOSC        2u
#define CLK_SYS_CTRL        (CLOCKS + 0x3Cu)
#define CLK_SYS_SELECTED    (CLOCKS + 0x44u)
#define CLK_SYS_REF         0u
#define CLK_SYS_AUX         1u /* PLL_SYS, unless told otherwise */
#define CLK_PERI_CTRL       (CLOCKS + 0x48u)
#define CLK_PERI_ENABLE     (1u << 11) /* from clk_sys, unless told otherwise */

/* 2.16 */
#define CRYSTAL_HZ          12000000u
#define XOSC                0x40024000u
#define XOSC_CTRL           (XOSC + 0x0u)
#define XOSC_CTRL_ENABLE    0x00FABAA0u /* 1 ... 15 MHz */
#define XOSC_STATUS         (XOSC + 0x4u)
#define XOSC_STATUS_STABLE  (1u << 31)
#define XOSC_STARTUP        (XOSC + 0xCu) /* in 256 periods of the crystal */

/* 2.18 */
#define PLL_SYS             0x40028000u
#define PLL_CS              (PLL_SYS + 0x0u)
#define PLL_CS_LOCK         (1u << 31)
#define PLL_PWR             (PLL_SYS + 0x4u)
#define PLL_PWR_PD          (1u << 0)
#define PLL_PWR_POSTDIVPD   (1u << 3)
#define PLL_PWR_VCOPD       (1u << 5)
#define PLL_FBDIV           (PLL_SYS + 0x8u)
#define PLL_PRIM            (PLL_SYS + 0xCu)
#define PLL_PRIM_POSTDIV1   16
#define PLL_PRIM_POSTDIV2   12

/* 2.12.8 */
#define CHIP_RESET          0x40064008u
#define CHIP_RESET_HAD_POR  (1u << 8)  /* brown-out too */
#define CHIP_RESET_HAD_RUN  (1u << 16) /* the pin */

/* 2.19.6 */
#define GPIO_CTRL(pin)      (0x40014004u + 8u * (pin))
#define GPIO_FUNCTION_UART  2u
#define PAD(pin)            (0x4001C004u + 4u * (pin))
#define PAD_INPUT_PULL_UP   0x4Au /* and a Schmitt trigger */

/* 4.7.6 */
#define WATCHDOG_REASON       0x40058008u
#define WATCHDOG_REASON_TIMER (1u << 0)
#define WATCHDOG_SCRATCH0     0x4005800Cu /* kept until the whole chip is reset */

/* 4.2.8: Arm's PL011 */
#define UART0          0x40034000u
#define UART_DR        (UART0 + 0x00u)
#define UART_FR        (UART0 + 0x18u)
#define UART_FR_RXFE   (1u << 4)
#define UART_FR_TXFF   (1u << 5)
#define UART_IBRD      (UART0 + 0x24u)
#define UART_FBRD      (UART0 + 0x28u)
#define UART_LCR_H     (UART0 + 0x2Cu)
#define UART_LCR_H_8N1 (3u << 5) /* without FIFOs: an interrupt for every byte */
#define UART_CR        (UART0 + 0x30u)
#define UART_CR_UARTEN (1u << 0)
#define UART_CR_TXE    (1u << 8)
#define UART_CR_RXE    (1u << 9)
#define UART_IMSC      (UART0 + 0x38u)
#define UART_INT_RX    (1u << 4)
#define UART0_IRQ      20 /* 2.3.2 */

static inline uint32_t chip_read(uint32_t address)
{
    return *(volatile uint32_t *)address;
}

static inline void chip_write(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

void rp2040_uart_received(void);

#define CHIP_INTERRUPTS [UART0_IRQ] = rp2040_uart_received

#endif
