#include "chip.h"

#include "bare.h"
#include "cortex.h"

#define PATIENCE 100000u /* looks at a register that hardware shall change: many milliseconds */
#define STARTED  0x45435254u

/* 2.18.2: 750 ... 1600 MHz before the dividers. */
#define PLL_MULTIPLIER 125u
#define PLL_DIVIDER1   6u
#define PLL_DIVIDER2   2u
#if EC_CLOCK_HZ != CRYSTAL_HZ / PLL_DIVIDER1 / PLL_DIVIDER2 * PLL_MULTIPLIER
#error "EC_CLOCK_HZ is not what the PLL makes of the crystal"
#endif

#define CRYSTAL_STARTUP ((CRYSTAL_HZ / 1000u + 255u) / 256u) /* 1 ms */
#define BAUD_DIVISOR    ((EC_CLOCK_HZ * 4u + EC_BAUD / 2u) / EC_BAUD) /* in 64ths */

void rp2040_uart_received(void)
{
    while (!(chip_read(UART_FR) & UART_FR_RXFE))
        bare_received((uint8_t)chip_read(UART_DR));
}

/* The chip's flags tell of its last whole reset, also after a reset of the core alone: that one
 * leaves the mark in SCRATCH0. */
uint8_t chip_reset_cause(bool powered)
{
    (void)powered;
    bool core_alone = chip_read(WATCHDOG_SCRATCH0) == STARTED;
    chip_write(WATCHDOG_SCRATCH0, STARTED);
    if (core_alone)
        return chip_read(WATCHDOG_REASON) & WATCHDOG_REASON_TIMER ? EC_CAUSE_WATCHDOG
                                                                  : EC_CAUSE_SOFTWARE;
    uint32_t flags = chip_read(CHIP_RESET);
    if (flags & CHIP_RESET_HAD_POR)
        return EC_CAUSE_POWER_ON;
    return flags & CHIP_RESET_HAD_RUN ? EC_CAUSE_RESET_PIN : EC_CAUSE_UNKNOWN;
}

static bool comes(uint32_t address, uint32_t bits)
{
    for (uint32_t looks = 0; looks < PATIENCE; looks++) {
        if ((chip_read(address) & bits) == bits)
            return true;
    }
    return false;
}

static void reset_blocks(uint32_t blocks)
{
    chip_write(RESETS_RESET + SET_ALIAS, blocks);
    chip_write(RESETS_RESET + CLEAR_ALIAS, blocks);
    (void)comes(RESETS_DONE, blocks);
}

/* Crystal ──> clk_ref ──> PLL ──> clk_sys ──> clk_peri. A clock that does not come is not switched
 * to: the chip would stand still, while on the ring oscillator only the line is lost. */
static void start_clocks(void)
{
    chip_write(XOSC_STARTUP, CRYSTAL_STARTUP);
    chip_write(XOSC_CTRL, XOSC_CTRL_ENABLE);
    if (!comes(XOSC_STATUS, XOSC_STATUS_STABLE))
        return;
    chip_write(CLK_REF_CTRL, CLK_REF_XOSC);
    (void)comes(CLK_REF_SELECTED, 1u << CLK_REF_XOSC);
    chip_write(CLK_SYS_CTRL + CLEAR_ALIAS, CLK_SYS_AUX); /* where a reset of the core leaves it */
    (void)comes(CLK_SYS_SELECTED, 1u << CLK_SYS_REF);

    reset_blocks(RESET_PLL_SYS);
    chip_write(PLL_FBDIV, PLL_MULTIPLIER);
    chip_write(PLL_PWR + CLEAR_ALIAS, PLL_PWR_PD | PLL_PWR_VCOPD);
    if (!comes(PLL_CS, PLL_CS_LOCK))
        return;
    chip_write(PLL_PRIM, PLL_DIVIDER1 << PLL_PRIM_POSTDIV1 | PLL_DIVIDER2 << PLL_PRIM_POSTDIV2);
    chip_write(PLL_PWR + CLEAR_ALIAS, PLL_PWR_POSTDIVPD);
    chip_write(CLK_SYS_CTRL, CLK_SYS_REF); /* what AUX means changes only while it is not used */
    chip_write(CLK_SYS_CTRL, CLK_SYS_AUX);
    (void)comes(CLK_SYS_SELECTED, 1u << CLK_SYS_AUX);
}

const chip_divider chip_line = {EC_CLOCK_HZ * 4u, 64, 0x3FFFFF};

/* 4.2.7.1: the line control's register takes the divisor over, while the UART is off. */
void chip_set_divisor(uint32_t divisor)
{
    chip_write(UART_CR, 0);
    chip_write(UART_IBRD, divisor / 64u);
    chip_write(UART_FBRD, divisor % 64u);
    chip_write(UART_LCR_H, UART_LCR_H_8N1);
    chip_write(UART_CR, UART_CR_UARTEN | UART_CR_TXE | UART_CR_RXE);
}

static void start_uart(void)
{
    reset_blocks(RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_UART0);
    chip_set_divisor(BAUD_DIVISOR);
    chip_write(UART_IMSC, UART_INT_RX);
    chip_write(PAD(BOARD_UART_RX_PIN), PAD_INPUT_PULL_UP); /* an open line is at rest */
    chip_write(GPIO_CTRL(BOARD_UART_RX_PIN), GPIO_FUNCTION_UART);
    chip_write(GPIO_CTRL(BOARD_UART_TX_PIN), GPIO_FUNCTION_UART);
    cortex_enable_interrupt(UART0_IRQ);
}

void chip_init(void)
{
    start_clocks();
    chip_write(CLK_PERI_CTRL, CLK_PERI_ENABLE);
    start_uart();
    cortex_systick_start();
}

bool chip_can_send(void)
{
    return !(chip_read(UART_FR) & UART_FR_TXFF);
}

void chip_send(uint8_t byte)
{
    chip_write(UART_DR, byte);
}

uint32_t ec_port_ticks(void)
{
    return cortex_systick_ticks();
}

/* The flash has a number of its own, but tells it only to code that runs while there is no flash. */
const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
