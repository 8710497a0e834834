/* From reset to main: the vector table, .data, .bss. The board's link.ld gives the symbols. */
#include "cmsdk.h"

#include "board.h"

extern uint32_t link_stack_top[];
extern const uint32_t link_data_load[];
extern uint32_t link_data_start[], link_data_end[];
extern uint32_t link_bss_start[], link_bss_end[];

int main(int argc, char **argv);
void _start(void);

static void restart(void)
{
    SCB_AIRCR = AIRCR_SYSRESETREQ;
    for (;;) {
    }
}

static void wake(void)
{
}

typedef void (*handler)(void);

/* DDI 0403, B1.5.2. Only the interrupts that are enabled have an entry. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack_top;
    handler reset;
    handler faults[5]; /* NMI, HardFault, MemManage, BusFault, UsageFault */
    handler reserved_7[4];
    handler svcall, debug, reserved_13, pendsv, systick;
    handler interrupts[BOARD_UART_RX_IRQ + 1];
} vectors = {
    .stack_top = link_stack_top,
    .reset = _start,
    .faults = {restart, restart, restart, restart, restart},
    .svcall = restart,
    .debug = restart,
    .pendsv = restart,
    .systick = wake,
    .interrupts[BOARD_UART_RX_IRQ] = cmsdk_uart_received,
};

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
    /* Code compiled for hard float faults without this; on cores without an FPU it does nothing. */
    SCB_CPACR |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");

    copy(link_data_start, link_data_end, link_data_load);
    clear(link_bss_start, link_bss_end);
    (void)main(0, 0);
    restart();
}
