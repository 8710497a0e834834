/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * Planes of sums become lanes as in ec_update.c.
 */
#include "ec_asm.h"
#include "ec_lanes.h"

    .syntax unified
    .thumb

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
    .thumb_func
ec_update_fast:
    add     r2, r1, r2, lsl #2      /* the end of the spikes */
    push    {r1, r2, r4-r11, lr}    /* 44 bytes */
    mov     most, #0xBFBFBFBF
    mov     spike, #0xFEFEFEFE
group:
    add     r3, r0, #SUM
    ldm     r3, {r4-r11}
    exchange r4, r8, 4, 0x0F0F0F0F
    exchange r5, r9, 4, 0x0F0F0F0F
    exchange r6, r10, 4, 0x0F0F0F0F
    exchange r7, r11, 4, 0x0F0F0F0F
    exchange r4, r6, 2, 0x33333333
    exchange r5, r7, 2, 0x33333333
    exchange r8, r10, 2, 0x33333333
    exchange r9, r11, 2, 0x33333333
    exchange r4, r5, 1, 0x55555555
    exchange r6, r7, 1, 0x55555555
    exchange r8, r9, 1, 0x55555555
    exchange r10, r11, 1, 0x55555555
    bl      ec_lanes_step
    ldrd    r3, r4, [sp]
    mvn     silent, silent
    str     silent, [r3], #4
    str     r3, [sp]
    add     r0, r0, #GROUP - 32
    cmp     r3, r4
    bne     group
    add     sp, sp, #8
    pop     {r4-r11, pc}
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 44
