/* uint32_t cortex_probe(uint32_t address)
 *
 * The word at an address that a chip may not have: 0 then. The fault that it raises steps over the
 * load; any other restarts the core.
 */
#include "ec_asm.h"

    .syntax unified
    .thumb

    .section .text.cortex_probe, "ax", %progbits
    .balign 4
    .global cortex_probe
    .type cortex_probe, %function
    .thumb_func
cortex_probe:
    movs    r1, #0
load:
    ldr     r1, [r0]
    movs    r0, r1
    bx      lr
    .size cortex_probe, . - cortex_probe
    stack_size cortex_probe, 0

/* In the frame of an exception (DDI 0403, B1.5.6) the address to return to is word 6. */
    .section .text.cortex_fault, "ax", %progbits
    .balign 4
    .global cortex_fault
    .type cortex_fault, %function
    .thumb_func
cortex_fault:
    mrs     r0, msp
    ldr     r1, [r0, #24]
    ldr     r2, =load
    cmp     r1, r2
    bne     other
    adds    r1, #2
    str     r1, [r0, #24]
    bx      lr
other:
    ldr     r0, =cortex_restart
    bx      r0
    .ltorg
    .size cortex_fault, . - cortex_fault
    stack_size cortex_fault, 0
