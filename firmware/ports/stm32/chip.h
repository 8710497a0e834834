/* STM32F1 and F4 (RM0041 for the F100, RM0090 for the F405): the parts that are alike. The board's
 * board.h says where they are and what its clocks and pins need:
 *
 *   BOARD_USART, BOARD_USART_IRQ, BOARD_USART_HZ   the serial line, and the clock of its bus
 *   BOARD_RESET_FLAGS                              RCC_CSR
 *   BOARD_UNIQUE_ID                                96 bits that no other chip has
 *   BOARD_SETUP                                    a list of chip_setup, in their order
 */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* What to do to a register, and the bits in it that hardware sets when it is done. */
typedef struct {
    uint32_t address;
    uint32_t clear;
    uint32_t set;
    uint32_t ready;
} chip_setup;

/* RM0090 30.6, RM0041 23.6 */
#define USART_SR        REGISTER(BOARD_USART + 0x00u)
#define USART_SR_ORE    (1u << 3)
#define USART_SR_RXNE   (1u << 5)
#define USART_SR_TXE    (1u << 7)
#define USART_DR        REGISTER(BOARD_USART + 0x04u)
#define USART_BRR       REGISTER(BOARD_USART + 0x08u)
#define USART_CR1       REGISTER(BOARD_USART + 0x0Cu)
#define USART_CR1_RE    (1u << 2)
#define USART_CR1_TE    (1u << 3)
#define USART_CR1_RXNEI (1u << 5)
#define USART_CR1_UE    (1u << 13)

/* RM0090 7.3.21, RM0041 6.3.10 */
#define RESET_FLAGS          REGISTER(BOARD_RESET_FLAGS)
#define RESET_FLAGS_CLEAR    (1u << 24)
#define RESET_FLAGS_BROWN    (1u << 25) /* F4 alone */
#define RESET_FLAGS_PIN      (1u << 26) /* set by every other reset, too */
#define RESET_FLAGS_POWER    (1u << 27)
#define RESET_FLAGS_SOFTWARE (1u << 28)
#define RESET_FLAGS_WATCHDOG (3u << 29)

void stm32_usart_received(void);

#define CHIP_INTERRUPTS [BOARD_USART_IRQ] = stm32_usart_received

#endif
