#include "chip.h"

#include "bare.h"
#include "cortex.h"

#define UART    ((cmsdk_uart *)BOARD_UART)
#define TIMER   ((cmsdk_timer *)BOARD_TIMER)
#define RESET_INFO (*(volatile uint32_t *)BOARD_RESET_INFO)

#define BAUD_DIVISOR (((EC_CLOCK_HZ) + (EC_BAUD) / 2u) / (EC_BAUD))

#if BAUD_DIVISOR < 16
#error "EC_BAUD is too high: the UART divides its clock by 16 or more"
#endif

void cmsdk_uart_received(void)
{
    UART->intclear = UART_INT_RX;
    while (UART->state & UART_STATE_RX_FULL)
        bare_received((uint8_t)UART->data);
}

uint8_t chip_reset_cause(bool powered)
{
    uint32_t info = RESET_INFO;
    RESET_INFO = BOARD_RESET_CLEAR(info);
    if (!powered)
        return EC_CAUSE_POWER_ON;
    if (info & BOARD_RESET_WATCHDOG)
        return EC_CAUSE_WATCHDOG;
    return info & BOARD_RESET_SOFTWARE ? EC_CAUSE_SOFTWARE : EC_CAUSE_UNKNOWN;
}

const chip_divider chip_line = {EC_CLOCK_HZ, 16, 0xFFFFF};

void chip_set_divisor(uint32_t divisor)
{
    UART->bauddiv = divisor;
}

void chip_init(void)
{
    TIMER->reload = 0xFFFFFFFFu;
    TIMER->value = 0xFFFFFFFFu;
    TIMER->ctrl = TIMER_CTRL_ENABLE;
    chip_set_divisor(BAUD_DIVISOR);
    UART->ctrl = UART_CTRL_TX | UART_CTRL_RX | UART_CTRL_RX_INT;
    cortex_enable_interrupt(BOARD_UART_RX_IRQ);
    cortex_systick_start(); /* it only ends sleeps */
}

bool chip_can_send(void)
{
    return !(UART->state & UART_STATE_TX_FULL);
}

void chip_send(uint8_t byte)
{
    UART->data = byte;
}

uint32_t ec_port_ticks(void)
{
    return ~TIMER->value;
}

const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
