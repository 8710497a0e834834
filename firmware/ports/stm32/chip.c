#include "chip.h"

#include "bare.h"
#include "cortex.h"

#define PATIENCE 100000u /* looks at a register that hardware shall change: many milliseconds */

/* Reading the status, then the data, clears an overrun. It may come alone, when its byte ended just as
 * the one before was read (RM0090 30.3.3, RM0041 23.3.3), and interrupts for ever if nobody reads. */
void stm32_usart_received(void)
{
    uint32_t status;
    while ((status = USART_SR) & (USART_SR_RXNE | USART_SR_ORE)) {
        uint8_t byte = (uint8_t)USART_DR;
        if (status & USART_SR_RXNE)
            bare_received(byte);
    }
}

uint8_t chip_reset_cause(bool powered)
{
    uint32_t flags = RESET_FLAGS;
    RESET_FLAGS |= RESET_FLAGS_CLEAR;
    if (flags & RESET_FLAGS_POWER || !powered)
        return EC_CAUSE_POWER_ON;
    if (flags & RESET_FLAGS_WATCHDOG)
        return EC_CAUSE_WATCHDOG;
    if (flags & RESET_FLAGS_SOFTWARE)
        return EC_CAUSE_SOFTWARE;
    if (flags & RESET_FLAGS_BROWN)
        return EC_CAUSE_BROWN_OUT;
    return flags & RESET_FLAGS_PIN ? EC_CAUSE_RESET_PIN : EC_CAUSE_UNKNOWN;
}

/* A clock that does not come is not switched to by the hardware itself (RM0090 7.2.6): then only the
 * line is lost. */
static void set_up(void)
{
    static const chip_setup steps[] = BOARD_SETUP;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        volatile uint32_t *at = (volatile uint32_t *)steps[i].address;
        *at = (*at & ~steps[i].clear) | steps[i].set;
        for (uint32_t looks = 0; looks < PATIENCE && (*at & steps[i].ready) != steps[i].ready; looks++) {
        }
    }
}

const chip_divider chip_line = {BOARD_USART_HZ, 16, 0xFFFF};

void chip_set_divisor(uint32_t divisor)
{
    USART_BRR = divisor;
}

void chip_init(void)
{
    set_up();
    chip_set_divisor((BOARD_USART_HZ + EC_BAUD / 2u) / EC_BAUD);
    USART_CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE | USART_CR1_RXNEI;
    cortex_enable_interrupt(BOARD_USART_IRQ);
    cortex_systick_start();
}

bool chip_can_send(void)
{
    return USART_SR & USART_SR_TXE;
}

void chip_send(uint8_t byte)
{
    USART_DR = byte;
}

uint32_t ec_port_ticks(void)
{
    return cortex_systick_ticks();
}

const uint8_t *chip_id(void)
{
    static uint32_t id[EC_CHIP_ID_SIZE / 4];
    for (unsigned i = 0; i < 3; i++)
        id[i] = cortex_probe(BOARD_UNIQUE_ID + 4u * i); /* an emulated chip may have none */
    return (const uint8_t *)id;
}
