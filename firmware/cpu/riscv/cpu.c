#include "riscv.h"

#include "bare.h"
#include "chip.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define MTIMECMP      REGISTER(CHIP_CLINT + 0x4000u)
#define MTIMECMP_HIGH REGISTER(CHIP_CLINT + 0x4004u)
#define MTIME         REGISTER(CHIP_CLINT + 0xBFF8u)
#define MTIME_HIGH    REGISTER(CHIP_CLINT + 0xBFFCu)
#define IDLE_TIME     (CHIP_MTIME_HZ / 1000u * EC_PORT_IDLE_MS)

/* Hart 0's machine mode is context 0. */
#define PLIC_PRIORITY(source) REGISTER(CHIP_PLIC + 4u * (source))
#define PLIC_ENABLE(source)   REGISTER(CHIP_PLIC + 0x2000u + 4u * ((source) / 32u))
#define PLIC_THRESHOLD        REGISTER(CHIP_PLIC + 0x200000u)
#define PLIC_CLAIM            REGISTER(CHIP_PLIC + 0x200004u)

#define MSTATUS_MIE        8
#define INTERRUPT_TIMER    7u
#define INTERRUPT_EXTERNAL 11u
#define MCAUSE_INTERRUPT   0x80000000u

void riscv_trap(void);

void cpu_mask(void)
{
    __asm__ volatile("csrci mstatus, %0" ::"i"(MSTATUS_MIE) : "memory");
}

void cpu_unmask(void)
{
    __asm__ volatile("csrsi mstatus, %0" ::"i"(MSTATUS_MIE) : "memory");
}

void cpu_sleep(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

uint32_t riscv_time(void)
{
    return MTIME;
}

/* 3.2.1: between the writes the comparison must not come true by accident. */
static void wake_later(void)
{
    uint32_t high;
    uint32_t low;
    do {
        high = MTIME_HIGH;
        low = MTIME;
    } while (high != MTIME_HIGH);
    uint64_t then = ((uint64_t)high << 32 | low) + IDLE_TIME;
    MTIMECMP_HIGH = 0xFFFFFFFFu;
    MTIMECMP = (uint32_t)then;
    MTIMECMP_HIGH = (uint32_t)(then >> 32);
}

void riscv_timer_start(void)
{
    wake_later();
    __asm__ volatile("csrs mie, %0" ::"r"(1u << INTERRUPT_TIMER));
}

void riscv_enable_interrupt(unsigned source)
{
    PLIC_PRIORITY(source) = 1;
    PLIC_ENABLE(source) |= 1u << source % 32u;
    PLIC_THRESHOLD = 0;
    __asm__ volatile("csrs mie, %0" ::"r"(1u << INTERRUPT_EXTERNAL));
}

/* An exception has no other cause than a defect: from the start again. */
__attribute__((interrupt("machine"), aligned(4))) void riscv_trap(void)
{
    uint32_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    if (cause == (MCAUSE_INTERRUPT | INTERRUPT_TIMER)) {
        wake_later();
    } else if (cause == (MCAUSE_INTERRUPT | INTERRUPT_EXTERNAL)) {
        uint32_t source = PLIC_CLAIM;
        if (source) {
            chip_interrupt(source);
            PLIC_CLAIM = source;
        }
    } else {
        __asm__ volatile("j _start");
    }
}
