#include "bare.h"

#define FRAME        EC_FRAME_SIZE(EC_PACKET_SIZE(EC_MAX_PAYLOAD))
#define TICKS_PER_MS (EC_TICK_HZ / 1000u)
#define WRITE_MS     1000u /* beyond the line's own time: nobody takes the bytes */
#define SENDING      20u   /* bytes that a transmitter may hold, and one more */
#define CYCLES_A_BIT 50u   /* an emulated AVR takes all blocks at 64, and loses most at 32 */
#define BOOT_MAGIC   0x45434254u

/* A power of two that holds a request and what else may come before the main loop looks. */
#if FRAME <= 128
#define RING_SIZE 128u
typedef uint8_t ring_index; /* read and written in one instruction by 8-bit cores */
#elif FRAME <= 256
#define RING_SIZE 256u
typedef uint32_t ring_index;
#elif FRAME <= 1024
#define RING_SIZE 1024u
typedef uint32_t ring_index;
#else
#error "EC_MAX_PAYLOAD is too large: the ring holds 1024 bytes"
#endif

/* Bytes received: the interrupt moves `head`, the main loop `tail`. */
static struct {
    volatile uint8_t bytes[RING_SIZE]; /* or they might be written after `head` */
    volatile ring_index head;
    volatile ring_index tail;
} ring;

/* Survives a reset, not a loss of power. */
static struct {
    uint32_t magic;
    uint32_t count;
} boots __attribute__((section(".noinit")));

static uint8_t reset_cause;
static uint32_t line_baud = EC_BAUD;

void bare_received(uint8_t byte)
{
    ring_index head = ring.head;
    if ((ring_index)(head - ring.tail) < RING_SIZE) {
        ring.bytes[head % RING_SIZE] = byte;
        ring.head = (ring_index)(head + 1u);
    }
}

void ec_port_init(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    bool powered = boots.magic == BOOT_MAGIC;
    boots.count = powered ? boots.count + 1 : 1;
    boots.magic = BOOT_MAGIC;
    reset_cause = chip_reset_cause(powered);
    chip_init();
    cpu_unmask();
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
    uint32_t limit = (WRITE_MS + length * 10000u / line_baud) * TICKS_PER_MS;
    for (uint32_t i = 0; i < length; i++) {
        while (!chip_can_send()) {
            if (ec_port_ticks() - start > limit)
                return;
        }
        chip_send(bytes[i]);
    }
}

static uint32_t divisor_of(uint32_t baud)
{
    return (chip_line.hz + baud / 2u) / baud;
}

bool ec_port_can_baud(uint32_t baud)
{
    if (baud == EC_BAUD)
        return true;
    if (baud == 0 || baud > EC_CLOCK_HZ / CYCLES_A_BIT)
        return false;
    uint32_t divisor = divisor_of(baud);
    if (divisor < chip_line.least || divisor > chip_line.most)
        return false;
    uint32_t made = chip_line.hz / divisor;
    return (made > baud ? made - baud : baud - made) <= baud / 50u;
}

void ec_port_set_baud(uint32_t baud)
{
    if (baud == 0)
        baud = EC_BAUD;
    if (baud == line_baud)
        return;
    uint32_t start = ec_port_ticks();
    while (ec_port_ticks() - start < (SENDING * 10000u / line_baud + 1u) * TICKS_PER_MS) {
    }
    line_baud = baud;
    cpu_mask();
    chip_set_divisor(divisor_of(baud));
    cpu_unmask();
}

/* An interrupt ends a sleep EC_PORT_IDLE_MS later at the latest: what is due before is waited for awake.
 * With interrupts masked, one that comes after the look at the ring still ends the sleep. */
void ec_port_idle(uint32_t ticks)
{
    if (ticks < EC_PORT_IDLE_MS * TICKS_PER_MS)
        return;
    cpu_mask();
    if (ring.tail == ring.head)
        cpu_sleep();
    cpu_unmask();
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

uint32_t ec_port_tick_hz(void)
{
    return EC_TICK_HZ;
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
    return chip_id();
}
