#include "chip.h"

#include "bare.h"
#include "cortex.h"

#define PATIENCE     100000u /* looks at a register that hardware shall change: many milliseconds */
#define PLL_HZ       200000000u
#define BAUD_DIVISOR ((EC_CLOCK_HZ * 4u + EC_BAUD / 2u) / EC_BAUD) /* in 64ths */

void lm3s_uart_received(void)
{
    UART_ICR = UART_INT_RX;
    while (!(UART_FR & UART_FR_RXFE))
        bare_received((uint8_t)UART_DR);
}

uint8_t chip_reset_cause(bool powered)
{
    uint32_t flags = SYSCTL_RESC;
    SYSCTL_RESC = 0;
    if (flags & RESC_POWER || !powered)
        return EC_CAUSE_POWER_ON;
    if (flags & RESC_WATCHDOG)
        return EC_CAUSE_WATCHDOG;
    if (flags & RESC_SOFTWARE)
        return EC_CAUSE_SOFTWARE;
    if (flags & RESC_BROWN)
        return EC_CAUSE_BROWN_OUT;
    return flags & RESC_PIN ? EC_CAUSE_RESET_PIN : EC_CAUSE_UNKNOWN;
}

/* 5.3: the crystal and the PLL while both are bypassed, then the divider, then the PLL's clock. No flag
 * tells when the crystal is steady; the core would stand on one that is not. If the PLL does not lock
 * it stays on the crystal. */
static void start_clock(void)
{
    SYSCTL_RCC = (SYSCTL_RCC | RCC_BYPASS) & ~(RCC_USE_DIVIDER | RCC_MAIN_OFF);
    for (uint32_t looks = 0; looks < PATIENCE; looks++)
        (void)SYSCTL_RCC;
    SYSCTL_RCC = (SYSCTL_RCC & ~(RCC_SOURCE | RCC_XTAL | RCC_PLL_OFF)) | BOARD_CRYSTAL << 6;
    SYSCTL_RCC = (SYSCTL_RCC & ~RCC_DIVIDER) | RCC_DIVIDE_BY(PLL_HZ / EC_CLOCK_HZ) | RCC_USE_DIVIDER;
    for (uint32_t looks = 0; looks < PATIENCE; looks++) {
        if (SYSCTL_RIS & RIS_PLL_LOCKED) {
            SYSCTL_RCC &= ~RCC_BYPASS;
            return;
        }
    }
}

const chip_divider chip_line = {EC_CLOCK_HZ * 4u, 64, 0x3FFFFF};

/* 12.3.2: the line control's register takes the divisor over, while the UART is off. */
void chip_set_divisor(uint32_t divisor)
{
    UART_CTL = 0;
    UART_IBRD = divisor / 64u;
    UART_FBRD = divisor % 64u;
    UART_LCRH = UART_LCRH_8N1;
    UART_CTL = UART_CTL_ENABLE;
}

void chip_init(void)
{
    start_clock();
    SYSCTL_RCGC1 |= RCGC1_UART0;
    SYSCTL_RCGC2 |= RCGC2_GPIOA;
    (void)SYSCTL_RCGC2; /* 5.4.4: a block takes a few clocks to wake */
    (void)SYSCTL_RCGC2;
    GPIOA_AFSEL |= GPIOA_UART;
    GPIOA_DEN |= GPIOA_UART;
    chip_set_divisor(BAUD_DIVISOR);
    UART_IM = UART_INT_RX;
    cortex_enable_interrupt(UART0_IRQ);
    cortex_systick_start();
}

bool chip_can_send(void)
{
    return !(UART_FR & UART_FR_TXFF);
}

void chip_send(uint8_t byte)
{
    UART_DR = byte;
}

uint32_t ec_port_ticks(void)
{
    return cortex_systick_ticks();
}

const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
