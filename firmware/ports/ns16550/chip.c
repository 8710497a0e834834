#include "chip.h"

#include "bare.h"
#include "riscv.h"

#define LINE_HZ (BOARD_UART_HZ / 16u)

#if EC_TICK_HZ != CHIP_MTIME_HZ
#error "EC_TICK_HZ is not the rate of mtime"
#endif

void chip_interrupt(unsigned source)
{
    (void)source; /* there is but the UART */
    while (UART_LSR & UART_LSR_READY)
        bare_received(UART_DATA);
}

/* Nothing tells but memory. */
uint8_t chip_reset_cause(bool powered)
{
    return powered ? EC_CAUSE_UNKNOWN : EC_CAUSE_POWER_ON;
}

const chip_divider chip_line = {LINE_HZ, 1, 0xFFFF};

void chip_set_divisor(uint32_t divisor)
{
    UART_LCR = UART_LCR_DIVISOR;
    UART_DATA = (uint8_t)divisor;
    UART_IER = (uint8_t)(divisor >> 8);
    UART_LCR = UART_LCR_8N1;
    UART_IER = UART_IER_RECEIVE;
}

void chip_init(void)
{
    chip_set_divisor((LINE_HZ + EC_BAUD / 2u) / EC_BAUD);
    UART_FCR = UART_FCR_ON;
    riscv_enable_interrupt(BOARD_UART_IRQ);
    riscv_timer_start();
}

bool chip_can_send(void)
{
    return UART_LSR & UART_LSR_EMPTY;
}

void chip_send(uint8_t byte)
{
    UART_DATA = byte;
}

uint32_t ec_port_ticks(void)
{
    return riscv_time();
}

const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
