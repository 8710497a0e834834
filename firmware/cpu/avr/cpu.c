#include "avr.h"
#include "bare.h"

void cpu_mask(void)
{
    __asm__ volatile("cli" ::: "memory");
}

void cpu_unmask(void)
{
    __asm__ volatile("sei" ::: "memory");
}

/* Nothing wakes the core while interrupts are off. The instruction after `sei` comes before any
 * interrupt, so that none is missed. */
void cpu_sleep(void)
{
    AVR_SMCR = AVR_SMCR_SE;
    __asm__ volatile("sei\n\tsleep\n\tcli" ::: "memory");
}
