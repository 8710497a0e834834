#include "chip.h"

#include "bare.h"

#define LINE_HZ (EC_CLOCK_HZ / 8u) /* with U2X */
#define PERIOD  0x10000u

#if EC_TICK_HZ != EC_CLOCK_HZ
#error "EC_TICK_HZ is not the core's clock"
#endif
#if EC_CLOCK_HZ / 1000 * EC_PORT_IDLE_MS < PERIOD
#error "EC_CLOCK_HZ is too low: Timer1 does not end every sleep in time"
#endif

static volatile uint16_t periods;

void atmega_uart_received(void)
{
    bare_received(UDR0);
}

void atmega_timer_overflow(void)
{
    periods++;
}

/* A boot loader may have cleared the flags. A watchdog that restarted the chip goes on. */
uint8_t chip_reset_cause(bool powered)
{
    uint8_t flags = MCUSR;
    MCUSR = 0;
    WDTCSR = WDTCSR_OFF;
    WDTCSR = 0;
    if (flags & MCUSR_PORF)
        return EC_CAUSE_POWER_ON;
    if (flags & MCUSR_BORF)
        return EC_CAUSE_BROWN_OUT;
    if (flags & MCUSR_WDRF)
        return EC_CAUSE_WATCHDOG;
    if (flags & MCUSR_EXT)
        return EC_CAUSE_RESET_PIN;
    return powered ? EC_CAUSE_UNKNOWN : EC_CAUSE_POWER_ON;
}

const chip_divider chip_line = {LINE_HZ, 1, 4096};

void chip_set_divisor(uint32_t divisor)
{
    UBRR0H = (uint8_t)((divisor - 1) >> 8);
    UBRR0L = (uint8_t)(divisor - 1);
}

void chip_init(void)
{
    TCCR1A = 0; /* counts to 0xFFFF; a boot loader may have used it */
    TCCR1B = TCCR1B_RUN;
    TIMSK1 = TIMER_TOV1;

    UCSR0A = UCSR0A_U2X;
    chip_set_divisor((LINE_HZ + EC_BAUD / 2u) / EC_BAUD);
    UCSR0C = UCSR0C_8N1;
    UCSR0B = UCSR0B_ON;
}

bool chip_can_send(void)
{
    return UCSR0A & UCSR0A_UDRE;
}

void chip_send(uint8_t byte)
{
    UDR0 = byte;
}

/* Main loop only. With interrupts masked, an overflow that waits shows in its flag. */
uint32_t ec_port_ticks(void)
{
    cpu_mask();
    uint16_t low = TCNT1;
    uint16_t high = periods;
    if ((TIFR1 & TIMER_TOV1) && low < PERIOD / 2)
        high++;
    cpu_unmask();
    return (uint32_t)high << 16 | low;
}

const uint8_t *chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
