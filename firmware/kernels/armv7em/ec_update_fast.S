/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * What ec_update.c says, for the shifts and the gain of ec_fast.h, two words of lanes at a time.
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
    shadd8  r7, \y, r10
    .rept \k - 2
    shadd8  r7, \y, r7
    .endr
    shadd8  \y, \y, r7
    .else
    shadd8  \y, \y, r10
    .endif
    .endm

    .macro scale x, gain
    .rept -\gain
    shadd8  \x, \x, r11
    .endr
    .endm

/* Where ~y >= 64 a spike goes to bit l of each byte of r12, and y becomes ~0. */
    .macro fire y, l
    ssub8   r7, r9, \y
    sel     r7, r8, r11
    sel     \y, r10, \y
    orr     r12, r12, r7, lsl #(\l)
    .endm

    .macro lanes l
    ldrd    r3, r4, [r0, #CURRENT + 4 * \l]
    ldrd    r5, r6, [r0, #SUM + 4 * \l]
    decay   r3, EC_FAST_CURRENT_SHIFT
    decay   r4, EC_FAST_CURRENT_SHIFT
    scale   r5, EC_FAST_RECURRENT_GAIN
    scale   r6, EC_FAST_RECURRENT_GAIN
    qsub8   r3, r3, r5
    qsub8   r4, r4, r6
    strd    r3, r4, [r0, #CURRENT + 4 * \l]
    ldrd    r5, r6, [r0, #DRIVE + 4 * \l]
    qsub8   r5, r5, r3
    qsub8   r6, r6, r4
    ldrd    r3, r4, [r0, #MEMBRANE + 4 * \l]
    decay   r3, EC_FAST_MEMBRANE_SHIFT
    decay   r4, EC_FAST_MEMBRANE_SHIFT
    qsub8   r3, r3, r5
    qsub8   r4, r4, r6
    fire    r3, \l
    fire    r4, \l + 1
    strd    r3, r4, [r0, #MEMBRANE + 4 * \l]
    .endm

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
    .thumb_func
ec_update_fast:
    push    {r4-r11, lr}
group:
    add     lr, r0, #SUM
    ldm     lr, {r4-r11}
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
    stm     lr, {r4-r11}
    mov     r8, #0x01010101
    mov     r9, #0xBFBFBFBF         /* ~64 */
    mvn     r10, #0
    mov     r11, #0
    mov     r12, #0
    lanes   0
    lanes   2
    lanes   4
    lanes   6
    str     r12, [r1], #4
    adds    r0, r0, #GROUP
    subs    r2, r2, #1
    bne     group
    pop     {r4-r11, pc}
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 36
