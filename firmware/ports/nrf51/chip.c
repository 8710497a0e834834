#include "chip.h"

#include "bare.h"
#include "cortex.h"

#define PATIENCE   100000u /* looks at a register that hardware shall change: many milliseconds */
#define TIMER_HZ   16000000u
#define IDLE_TICKS (TIMER_HZ / 1000u * EC_PORT_IDLE_MS)
#define NOW        0u /* the capture register that ec_port_ticks reads, */
#define WAKE       1u /* and the one whose time ends a sleep */

#if EC_TICK_HZ != TIMER_HZ
#error "EC_TICK_HZ is not the timer's 16 MHz"
#endif

/* 2^32 baud / 16 MHz, rounded to the 20 bits that the generator has. */
#define BAUD ((uint32_t)((((uint64_t)(EC_BAUD) << 32) / TIMER_HZ + 0x800u) & 0xFFFFF000u))

static bool sending; /* TXDRDY is to come */

void nrf51_uart_received(void)
{
    while (UART_RXDRDY) {
        UART_RXDRDY = 0; /* before the byte is taken: the next one sets it again */
        bare_received((uint8_t)UART_RXD);
    }
}

void nrf51_timer_interrupt(void)
{
    TIMER_COMPARE(WAKE) = 0;
    TIMER_CC(WAKE) += IDLE_TICKS;
}

uint8_t chip_reset_cause(bool powered)
{
    uint32_t flags = POWER_RESETREAS;
    POWER_RESETREAS = flags;
    if (!powered)
        return EC_CAUSE_POWER_ON;
    if (flags & RESETREAS_PIN)
        return EC_CAUSE_RESET_PIN;
    if (flags & RESETREAS_WATCHDOG)
        return EC_CAUSE_WATCHDOG;
    return flags & RESETREAS_SOFTWARE ? EC_CAUSE_SOFTWARE : EC_CAUSE_UNKNOWN;
}

const chip_divider chip_line = {TIMER_HZ, 16, 0x10000};

void chip_set_divisor(uint32_t divisor)
{
    UART_BAUDRATE = (UINT32_MAX / divisor + 0x800u) & 0xFFFFF000u;
}

void chip_init(void)
{
    /* The crystal: the internal oscillator is too far off for a serial line. */
    CLOCK_HFCLKSTARTED = 0;
    CLOCK_HFCLKSTART = 1;
    for (uint32_t looks = 0; looks < PATIENCE && !CLOCK_HFCLKSTARTED; looks++) {
    }
    TIMER_BITMODE = TIMER_BITMODE_32;
    TIMER_PRESCALER = 0;
    TIMER_CC(WAKE) = IDLE_TICKS;
    TIMER_INTENSET = TIMER_INT_COMPARE(WAKE);
    TIMER_START = 1;
    cortex_enable_interrupt(TIMER_IRQ);

    GPIO_OUTSET = 1u << BOARD_UART_TX_PIN;
    GPIO_DIRSET = 1u << BOARD_UART_TX_PIN;
    GPIO_PIN_CNF(BOARD_UART_RX_PIN) = PIN_CNF_INPUT_HIGH;
    UART_PSELTXD = BOARD_UART_TX_PIN;
    UART_PSELRXD = BOARD_UART_RX_PIN;
    UART_BAUDRATE = BAUD;
    UART_ENABLE = UART_ENABLED;
    UART_RXDRDY = 0;
    UART_INTENSET = UART_INT_RXDRDY;
    UART_STARTRX = 1;
    UART_STARTTX = 1;
    cortex_enable_interrupt(UART_IRQ);
}

bool chip_can_send(void)
{
    if (sending && UART_TXDRDY) {
        UART_TXDRDY = 0;
        sending = false;
    }
    return !sending;
}

void chip_send(uint8_t byte)
{
    sending = true;
    UART_TXD = byte;
}

uint32_t ec_port_ticks(void)
{
    TIMER_CAPTURE(NOW) = 1;
    return TIMER_CC(NOW);
}

const uint8_t *chip_id(void)
{
    static uint32_t id[EC_CHIP_ID_SIZE / 4];
    id[0] = FICR_DEVICEID0;
    id[1] = FICR_DEVICEID1;
    return (const uint8_t *)id;
}

static bool flash_ready(void)
{
    for (uint32_t looks = 0; looks < PATIENCE; looks++) {
        if (NVMC_READY & 1u)
            return true;
    }
    return false;
}

bool ec_port_flash_erase(uint32_t page)
{
    NVMC_CONFIG = NVMC_ERASING;
    NVMC_ERASEPAGE = EC_FLASH_ORIGIN + page * EC_FLASH_PAGE;
    bool ready = flash_ready();
    NVMC_CONFIG = NVMC_READING;
    return ready;
}

bool ec_port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    bool ready = true;
    NVMC_CONFIG = NVMC_WRITING;
    for (uint32_t i = 0; i < size && ready; i += 4) {
        REGISTER(EC_FLASH_ORIGIN + offset + i) = ec_get32(bytes + i);
        ready = flash_ready();
    }
    NVMC_CONFIG = NVMC_READING;
    return ready;
}

void ec_port_flash_read(uint32_t offset, uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 4)
        ec_put32(bytes + i, REGISTER(EC_FLASH_ORIGIN + offset + i));
}
