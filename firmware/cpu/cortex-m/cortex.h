/* Registers that every Cortex-M has (Armv7-M: DDI 0403, B3; Armv6-M: DDI 0419, B3), and a tick from
 * SysTick for chips that have no 32-bit timer. */
#ifndef CORTEX_H
#define CORTEX_H

#include <stdint.h>

typedef struct {
    volatile uint32_t ctrl;
    volatile uint32_t load; /* 24 bits */
    volatile uint32_t val;  /* counts down */
} cortex_systick;

#define SYSTICK           ((cortex_systick *)0xE000E010u)
#define SYSTICK_CTRL_RUN  7u /* core clock, interrupt, enable */
#define NVIC_ISER         ((volatile uint32_t *)0xE000E100u)
#define SCB_AIRCR         (*(volatile uint32_t *)0xE000ED0Cu)
#define AIRCR_SYSRESETREQ 0x05FA0004u
#define SCB_CPACR         (*(volatile uint32_t *)0xE000ED88u)
#define CPACR_FPU         (0xFu << 20)
#define SCB_ICSR          (*(volatile uint32_t *)0xE000ED04u)
#define ICSR_PENDSTSET    (1u << 26)

/* Starts SysTick: an interrupt every EC_PORT_IDLE_MS ends a sleep. */
void cortex_systick_start(void);

/* Core clocks since cortex_systick_start, wrapping at 2^32. */
uint32_t cortex_systick_ticks(void);

/* The word at an address, or 0 where the chip has nothing there. */
uint32_t cortex_probe(uint32_t address);

static inline void cortex_enable_interrupt(unsigned number)
{
    NVIC_ISER[number / 32u] = (uint32_t)1 << number % 32u;
}

#endif
