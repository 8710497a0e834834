#include "bare.h"
#include "cortex.h"

#define PERIOD (EC_CLOCK_HZ / 1000u * EC_PORT_IDLE_MS)

#if EC_CLOCK_HZ / 1000 * EC_PORT_IDLE_MS > 0xFFFFFF
#error "EC_CLOCK_HZ is too high: SysTick counts 24 bits"
#endif

static volatile uint32_t periods;

void cortex_systick_interrupt(void);

void cpu_mask(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

void cpu_unmask(void)
{
    __asm__ volatile("cpsie i" ::: "memory");
}

void cpu_sleep(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

void cortex_systick_start(void)
{
    SYSTICK->load = PERIOD - 1u;
    SYSTICK->val = 0;
    SYSTICK->ctrl = SYSTICK_CTRL_RUN;
}

void cortex_systick_interrupt(void)
{
    periods++;
}

/* Main loop only. An interrupt between two reads shows as another count of periods; one that waits
 * with interrupts masked, in ICSR. */
uint32_t cortex_systick_ticks(void)
{
    uint32_t before;
    uint32_t value;
    uint32_t waiting;
    do {
        before = periods;
        value = SYSTICK->val;
        waiting = SCB_ICSR & ICSR_PENDSTSET;
        if (waiting)
            value = SYSTICK->val; /* read after the counter began again */
    } while (before != periods);
    return (before + (waiting ? 1u : 0u)) * PERIOD + (PERIOD - 1u - value);
}
