#include "chip.h"

#include "bare.h"
#include "riscv.h"

#define PATIENCE    100000u /* looks at a register that hardware shall change: many milliseconds */
#define LOCK_LOOKS  10000u  /* 6: the lock means nothing in the first 100 us */
#define MTIME_HZ    32768u
#define EMULATED_HZ 10000000u /* QEMU's mtime */

/* 6: the crystal divided to 6 ... 12 MHz, times an even number to 384 ... 768 MHz, divided. */
#define PLL_DIVIDER 2u
#define PLL_FACTOR  80u
#if EC_CLOCK_HZ != CRYSTAL_HZ / PLL_DIVIDER * PLL_FACTOR / 4
#error "EC_CLOCK_HZ is not what the PLL makes of the crystal"
#endif
#if EC_TICK_HZ != 2 * EC_CLOCK_HZ || EC_TICK_HZ % EMULATED_HZ
#error "EC_TICK_HZ is not twice EC_CLOCK_HZ, or no multiple of the emulated clock"
#endif

#define BAUD_DIVISOR ((EC_CLOCK_HZ + EC_BAUD / 2u) / EC_BAUD)

static bool emulated;

uint32_t fe310_mtime_hz(void)
{
    return emulated ? EMULATED_HZ : MTIME_HZ;
}

void chip_interrupt(unsigned source)
{
    (void)source; /* there is but the UART */
    for (;;) {
        uint32_t byte = UART_RXDATA;
        if (byte & UART_EMPTY)
            return;
        bare_received((uint8_t)byte);
    }
}

uint8_t chip_reset_cause(bool powered)
{
    if (!powered)
        return EC_CAUSE_POWER_ON;
    uint32_t cause = RESET_CAUSE(AON_PMUCAUSE);
    if (cause == RESET_WATCHDOG)
        return EC_CAUSE_WATCHDOG;
    return cause == RESET_PIN ? EC_CAUSE_RESET_PIN : EC_CAUSE_UNKNOWN;
}

static bool comes(volatile uint32_t *reg, uint32_t bits)
{
    for (uint32_t looks = 0; looks < PATIENCE; looks++) {
        if ((*reg & bits) == bits)
            return true;
    }
    return false;
}

/* Crystal ──> PLL ──> core, while the core runs on the ring oscillator. If one does not come, the core
 * stays there, and only the line is lost. */
static void start_clock(void)
{
    PRCI_HFROSCCFG |= OSC_ENABLE;
    if (!comes(&PRCI_HFROSCCFG, OSC_READY))
        return;
    PRCI_PLLCFG &= ~PLL_SELECT;
    PRCI_HFXOSCCFG = OSC_ENABLE;
    if (!comes(&PRCI_HFXOSCCFG, OSC_READY))
        return;
    uint32_t pll = PLL_FROM_CRYSTAL | PLL_R(PLL_DIVIDER) | PLL_F(PLL_FACTOR) | PLL_Q_4;
    PRCI_PLLCFG = pll | PLL_BYPASS; /* it may change its source only while nothing uses it */
    PRCI_PLLOUTDIV = PLLOUTDIV_BY_1;
    PRCI_PLLCFG = pll;
    for (uint32_t looks = 0; looks < LOCK_LOOKS; looks++)
        (void)PRCI_PLLCFG;
    if (comes(&PRCI_PLLCFG, PLL_LOCK))
        PRCI_PLLCFG = pll | PLL_SELECT;
}

const chip_divider chip_line = {EC_CLOCK_HZ, 16, 0x10000};

void chip_set_divisor(uint32_t divisor)
{
    UART_DIV = divisor - 1;
}

void chip_init(void)
{
    start_clock();
    PWM1_CFG = PWM_CFG_ALWAYS;
    GPIO_IOF_SEL &= ~GPIO_UART0;
    GPIO_IOF_EN |= GPIO_UART0;
    chip_set_divisor(BAUD_DIVISOR);
    UART_TXCTRL = UART_ENABLE;
    UART_RXCTRL = UART_ENABLE;
    UART_IE = UART_INT_RX;
    emulated = PWM1_COUNT == 0; /* QEMU has no PWM1 */
    riscv_enable_interrupt(UART0_IRQ);
    riscv_timer_start();
}

bool chip_can_send(void)
{
    return !(UART_TXDATA & UART_FULL);
}

void chip_send(uint8_t byte)
{
    UART_TXDATA = byte;
}

/* Halves of a clock, so that they wrap at 2^32. */
uint32_t ec_port_ticks(void)
{
    return emulated ? riscv_time() * (EC_TICK_HZ / EMULATED_HZ) : PWM1_COUNT << 1;
}

/* The chip's memory for numbers that are written once is the board maker's. */
const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
