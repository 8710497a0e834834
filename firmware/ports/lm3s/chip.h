/* Stellaris LM3S (sections of the LM3S6965's data sheet). The board's board.h tells the crystal, as the
 * clock control's field XTAL has it: BOARD_CRYSTAL. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* System control, 5.5 */
#define SYSCTL_RIS       REGISTER(0x400FE050u)
#define RIS_PLL_LOCKED   (1u << 6)
#define SYSCTL_RESC      REGISTER(0x400FE05Cu) /* why the chip was reset; a zero clears */
#define RESC_PIN         (1u << 0)
#define RESC_POWER       (1u << 1)
#define RESC_BROWN       (1u << 2)
#define RESC_WATCHDOG    (1u << 3)
#define RESC_SOFTWARE    (1u << 4)
#define SYSCTL_RCC       REGISTER(0x400FE060u)
#define RCC_MAIN_OFF     (1u << 0)
#define RCC_SOURCE       (3u << 4) /* 0: the main oscillator */
#define RCC_XTAL         (15u << 6)
#define RCC_BYPASS       (1u << 11)
#define RCC_PLL_OFF      (1u << 13)
#define RCC_USE_DIVIDER  (1u << 22)
#define RCC_DIVIDER      (15u << 23)
#define RCC_DIVIDE_BY(n) (((n) - 1u) << 23) /* of the PLL's 200 MHz */
#define SYSCTL_RCGC1     REGISTER(0x400FE104u)
#define RCGC1_UART0      (1u << 0)
#define SYSCTL_RCGC2     REGISTER(0x400FE108u)
#define RCGC2_GPIOA      (1u << 0)

/* Pins, 8.4: PA0 and PA1 are UART0's. */
#define GPIOA_AFSEL      REGISTER(0x40004420u)
#define GPIOA_DEN        REGISTER(0x4000451Cu)
#define GPIOA_UART       3u

/* UART0, 12.5 */
#define UART_DR          REGISTER(0x4000C000u)
#define UART_FR          REGISTER(0x4000C018u)
#define UART_FR_RXFE     (1u << 4)
#define UART_FR_TXFF     (1u << 5)
#define UART_IBRD        REGISTER(0x4000C024u)
#define UART_FBRD        REGISTER(0x4000C028u)
#define UART_LCRH        REGISTER(0x4000C02Cu)
#define UART_LCRH_8N1    (3u << 5) /* without FIFO: every byte interrupts */
#define UART_CTL         REGISTER(0x4000C030u)
#define UART_CTL_ENABLE  (1u << 0 | 1u << 8 | 1u << 9)
#define UART_IM          REGISTER(0x4000C038u)
#define UART_INT_RX      (1u << 4)
#define UART_ICR         REGISTER(0x4000C044u)

#define UART0_IRQ 5u

void lm3s_uart_received(void);

#define CHIP_INTERRUPTS [UART0_IRQ] = lm3s_uart_received

#endif
