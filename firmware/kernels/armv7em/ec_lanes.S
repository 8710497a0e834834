/* ec_lanes_step of ec_lanes.h, four words of lanes at a time, for the shifts and the gain of ec_fast.h. */
#include "ec_asm.h"
#include "ec_fast.h"
#include "ec_lanes.h"

    .syntax unified
    .thumb

#define ones lr /* ~0 */

/* y becomes ~(x - (x >> k)), y = ~x */
    .macro decay y, k
    .if \k > 1
    shadd8  r3, \y, ones
    .rept \k - 2
    shadd8  r3, \y, r3
    .endr
    shadd8  \y, \y, r3
    .else
    shadd8  \y, \y, ones
    .endif
    .endm

/* Sums become those times 2^gain. */
    .macro scale gain
    .if \gain < 0
    mov     r3, #0
    .irp x, r4, r5, r6, r7
    .rept -\gain
    shadd8  \x, \x, r3
    .endr
    .endr
    .endif
    .endm

/* Where ~y >= 64 bit l of each byte of `silent` is cleared, and y becomes ~0. */
    .macro fire y, l
    ssub8   r3, most, \y
    .if (\l) == 0
    sel     silent, spike, ones
    .else
    sel     r3, spike, ones
    and     silent, silent, r3, ror #(32 - (\l))
    .endif
    sel     \y, ones, \y
    .endm

    .macro two_membranes l, a, b
    ldrd    r8, r9, [r0, #MEMBRANE - 16 + 4 * ((\l) % 4)]
    decay   r8, EC_FAST_MEMBRANE_SHIFT
    decay   r9, EC_FAST_MEMBRANE_SHIFT
    qsub8   r8, r8, \a
    qsub8   r9, r9, \b
    fire    r8, \l
    fire    r9, \l + 1
    strd    r8, r9, [r0, #MEMBRANE - 16 + 4 * ((\l) % 4)]
    .endm

/* Four words from l on; their sums are in r4 ... r7. r0 moves behind their currents. */
    .macro lanes l
    scale   EC_FAST_RECURRENT_GAIN
    ldm     r0, {r8-r11}
    .irp y, r8, r9, r10, r11
    decay   \y, EC_FAST_CURRENT_SHIFT
    .endr
    qsub8   r8, r8, r4
    qsub8   r9, r9, r5
    qsub8   r10, r10, r6
    qsub8   r11, r11, r7
    stm     r0!, {r8-r11}
    ldrd    r4, r5, [r0, #DRIVE - 16]
    ldrd    r6, r7, [r0, #DRIVE - 8]
    qsub8   r4, r4, r8
    qsub8   r5, r5, r9
    qsub8   r6, r6, r10
    qsub8   r7, r7, r11
    two_membranes \l, r4, r5
    two_membranes \l + 2, r6, r7
    .endm

    .section .text.ec_lanes_step, "ax", %progbits
    .balign 4
    .global ec_lanes_step
    .type ec_lanes_step, %function
    .thumb_func
ec_lanes_step:
    push    {r8-r11, lr}            /* 20 bytes */
    mov     ones, #0xFFFFFFFF
    lanes   0
    pop     {r4-r7}
    lanes   4
    pop     {pc}
    .size ec_lanes_step, . - ec_lanes_step
    stack_size ec_lanes_step, 20
