/* A RISC-V core in machine mode with the interrupt controllers of SiFive's and QEMU's chips: CLINT for
 * the timer, PLIC for the rest (RISC-V Privileged Architecture 1.12, chapter 3; PLIC 1.0). The port's
 * chip.h tells:
 *
 *   CHIP_CLINT, CHIP_PLIC    base addresses
 *   CHIP_MTIME_HZ            the rate of mtime
 *   chip_interrupt(source)   handles an interrupt from the PLIC
 */
#ifndef RISCV_H
#define RISCV_H

#include <stdint.h>

/* Starts the interrupt that ends sleeps, every EC_PORT_IDLE_MS. */
void riscv_timer_start(void);

/* mtime, its lower half. */
uint32_t riscv_time(void);

void riscv_enable_interrupt(unsigned source);

#endif
