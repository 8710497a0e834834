#include "cmsdk.h"

#include "board.h"
#include "ec_config.h"
#include "ec_device.h"
#include "ec_port.h"

#define UART    ((cmsdk_uart *)BOARD_UART)
#define TIMER   ((cmsdk_timer *)BOARD_TIMER)
#define RSTINFO (*(volatile uint32_t *)(BOARD_SYSTEM_CONTROLLER + CMSDK_RSTINFO_OFFSET))

#define TICKS_PER_MS  (EC_CLOCK_HZ / 1000u)
#define WRITE_MS      1000u /* beyond the line's own time: nobody takes the bytes */
#define BAUD_DIVISOR  (((EC_CLOCK_HZ) + (EC_BAUD) / 2u) / (EC_BAUD))
#define BOOT_MAGIC    0x45434254u

#define RING_SIZE 1024u /* a power of two */

#if BAUD_DIVISOR < 16
#error "EC_BAUD is too high: the UART divides its clock by 16 or more"
#endif
#if EC_MAX_PAYLOAD > 1000
#error "EC_MAX_PAYLOAD is too large: the ring holds 1024 bytes"
#endif
#if EC_CLOCK_HZ / 1000 * EC_PORT_IDLE_MS > 0xFFFFFF
#error "EC_CLOCK_HZ is too high: SysTick counts 24 bits"
#endif

/* Bytes received: the interrupt moves `head`, the main loop `tail`. */
static struct {
    volatile uint8_t bytes[RING_SIZE]; /* or they might be written after `head` */
    volatile uint32_t head;
    volatile uint32_t tail;
} ring;

/* Survives a reset, not a loss of power. */
static struct {
    uint32_t magic;
    uint32_t count;
} boots __attribute__((section(".noinit")));

static uint8_t reset_cause;

void cmsdk_uart_received(void)
{
    UART->intclear = UART_INT_RX;
    while (UART->state & UART_STATE_RX_FULL) {
        uint8_t byte = (uint8_t)UART->data;
        if (ring.head - ring.tail < RING_SIZE) {
            ring.bytes[ring.head % RING_SIZE] = byte;
            ring.head++;
        }
    }
}

static void count_boot(void)
{
    uint32_t info = RSTINFO;
    RSTINFO = info;
    bool powered = boots.magic == BOOT_MAGIC;
    boots.count = powered ? boots.count + 1 : 1;
    boots.magic = BOOT_MAGIC;
    if (!powered)
        reset_cause = EC_CAUSE_POWER_ON;
    else if (info & RSTINFO_WDOGRESETREQ)
        reset_cause = EC_CAUSE_WATCHDOG;
    else if (info & (RSTINFO_SYSRESETREQ | RSTINFO_LOCKUPRESET))
        reset_cause = EC_CAUSE_SOFTWARE;
    else
        reset_cause = EC_CAUSE_UNKNOWN;
}

void ec_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    count_boot();
    TIMER->reload = 0xFFFFFFFFu;
    TIMER->value = 0xFFFFFFFFu;
    TIMER->ctrl = TIMER_CTRL_ENABLE;
    UART->bauddiv = BAUD_DIVISOR;
    UART->ctrl = UART_CTRL_TX | UART_CTRL_RX | UART_CTRL_RX_INT;
    NVIC_ISER0 = 1u << BOARD_UART_RX_IRQ;
    /* SysTick only wakes from idle; a rare and empty interrupt leaves the steps' ticks alone. */
    SYSTICK->load = TICKS_PER_MS * EC_PORT_IDLE_MS - 1u;
    SYSTICK->val = 0;
    SYSTICK->ctrl = SYSTICK_CTRL_RUN;
}

uint32_t ec_port_read(uint8_t *bytes, uint32_t capacity)
{
    uint32_t count = 0;
    while (count < capacity && ring.tail != ring.head) {
        bytes[count++] = ring.bytes[ring.tail % RING_SIZE];
        ring.tail++;
    }
    return count;
}

void ec_port_write(const uint8_t *bytes, uint32_t length)
{
    uint32_t start = ec_port_ticks();
    uint32_t limit = WRITE_MS * TICKS_PER_MS + length * 10u * BAUD_DIVISOR;
    for (uint32_t i = 0; i < length; i++) {
        while (UART->state & UART_STATE_TX_FULL) {
            if (ec_port_ticks() - start > limit)
                return;
        }
        UART->data = bytes[i];
    }
}

/* With interrupts masked, one that comes after the look at the ring still ends the wfi. */
void ec_port_idle(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    if (ring.tail == ring.head)
        __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

uint32_t ec_port_milliseconds(void)
{
    static uint32_t milliseconds;
    static uint32_t counted; /* ticks up to the last whole millisecond */
    uint32_t whole = (ec_port_ticks() - counted) / TICKS_PER_MS;
    counted += whole * TICKS_PER_MS;
    milliseconds += whole;
    return milliseconds;
}

uint32_t ec_port_ticks(void)
{
    return ~TIMER->value;
}

uint32_t ec_port_tick_hz(void)
{
    return EC_CLOCK_HZ;
}

uint8_t ec_port_reset_cause(void)
{
    return reset_cause;
}

uint32_t ec_port_boot_count(void)
{
    return boots.count;
}

const uint8_t *ec_port_chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
