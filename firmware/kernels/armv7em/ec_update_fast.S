/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * What ec_update.c says, for the shifts and the gain of ec_fast.h, four words of lanes at a time.
 */
#include "ec_asm.h"
#include "ec_fast.h"

    .syntax unified
    .thumb

#define CURRENT  0 /* offsets in an ec_group */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define silent r1 /* bits of the neurons that did not spike */
#define most   r2 /* ~64 in each byte: more than the complement of what spikes, */
#define spike  r12 /* ~1, */
#define ones   lr /* ~0 */

/* Exchanges the bits of `mask` in `high` with those that are k higher in `low`. */
    .macro exchange low, high, k, mask
    eor     r3, \high, \low, lsr #\k
    and     r3, r3, #\mask
    eor     \high, \high, r3
    eor     \low, \low, r3, lsl #\k
    .endm

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
    mov     ones, #0xFFFFFFFF
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
    push    {r8-r11}                /* 16 */
    lanes   0
    pop     {r4-r7}
    lanes   4
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
    stack_size ec_update_fast, 60
