/* From reset to main: the vector table, .data, .bss. link.ld gives the symbols, the port's chip.h
 * CHIP_INTERRUPTS: its handlers, each behind its number in brackets. */
#include "chip.h"
#include "cortex.h"

extern uint32_t link_stack_top[];
extern const uint32_t link_data_load[];
extern uint32_t link_data_start[], link_data_end[];
extern uint32_t link_bss_start[], link_bss_end[];

int main(int argc, char **argv);
void cortex_systick_interrupt(void);
void cortex_fault(void); /* in probe.S */
void cortex_restart(void);
void _start(void);

void cortex_restart(void)
{
    SCB_AIRCR = AIRCR_SYSRESETREQ;
    for (;;) {
    }
}

typedef void (*handler)(void);

/* DDI 0403, B1.5.2, and DDI 0419, B1.5.2. Only interrupts that are enabled have an entry. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack_top;
    handler reset;
    handler faults[5]; /* NMI, HardFault; Armv7-M: MemManage, BusFault, UsageFault */
    handler reserved_7[4];
    handler svcall, debug, reserved_13, pendsv, systick;
} vectors = {
    .stack_top = link_stack_top,
    .reset = _start,
    .faults = {cortex_restart, cortex_fault, cortex_fault, cortex_fault, cortex_fault},
    .svcall = cortex_restart,
    .debug = cortex_restart,
    .pendsv = cortex_restart,
    .systick = cortex_systick_interrupt,
};

__attribute__((section(".vectors.interrupts"), used)) static const handler interrupts[] = {
    CHIP_INTERRUPTS};

static void copy(uint32_t *to, const uint32_t *end, const uint32_t *from)
{
    while (to < end)
        *to++ = *from++;
}

static void clear(uint32_t *to, const uint32_t *end)
{
    while (to < end)
        *to++ = 0;
}

void _start(void)
{
#ifdef __ARM_FP /* compiled for an FPU, which faults before this */
    SCB_CPACR |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    copy(link_data_start, link_data_end, link_data_load);
    clear(link_bss_start, link_bss_end);
    (void)main(0, 0);
    cortex_restart();
}
