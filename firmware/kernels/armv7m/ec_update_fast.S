/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * ec_planes.h with eight planes in r4 ... r11: of the current, of its sum with the drive, which waits in
 * the sum's place, and of the membrane potential. Groups where nothing overflows, most of them, skip
 * saturation.
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

#define group  r0
#define carry  r1
#define over   r1 /* ones where the last sum left the range */
#define borrow r2
#define unlike r2 /* ones where the borrow is not the sign */
#define next   r12 /* what is added */

x0  .req r4
x1  .req r5
x2  .req r6
x3  .req r7
x4  .req r8
x5  .req r9
x6  .req r10
x7  .req r11

/* x - (x >> k), bit b, of which x >> k has bit p of x. */
    .macro subtract b, p
    .if \b == 0
    eor     x0, x0, x\p
    and     borrow, x0, x\p
    .else
    eor     r3, x\b, x\p
    eor     lr, x\p, borrow
    eor     x\b, r3, borrow
    and     r3, r3, lr
    eor     borrow, borrow, r3
    .endif
    .endm

/* The same where x >> k has but the sign: only a borrow that is not the sign changes anything. */
    .macro subtract_sign b
    eor     x\b, x\b, unlike
    .if \b < 7
    eor     r3, x\b, x7
    and     unlike, unlike, r3
    .endif
    .endm

/* x - (x >> k), bit b; the next bits are still those of x. */
    .macro decay_bit b, k
    .if \b > 0 && \b + \k >= 7
    .if \b == 1 || \b + \k == 7
    eor     unlike, borrow, x7
    .endif
    subtract_sign \b
    .else
    .irp p, 1, 2, 3, 4, 5, 6, 7
    .if \p == \b + \k
    subtract \b, \p
    .endif
    .endr
    .endif
    .endm

/* Adds bit b, `next`. */
    .macro add_bit b
    .if \b == 0
    and     carry, x0, next
    eor     x0, x0, next
    .else
    eor     r3, x\b, carry
    eor     lr, next, carry
    eor     x\b, r3, next
    .if \b < 7
    and     r3, r3, lr
    eor     carry, carry, r3
    .else
    and     over, r3, lr
    .endif
    .endif
    .endm

/* Bit b of the sum times 2^gain: a gain below 0 reads further up. */
    .macro load_scaled b
    .if \b - EC_FAST_RECURRENT_GAIN < 7
    ldr     next, [group, #SUM + 4 * (\b - EC_FAST_RECURRENT_GAIN)]
    .else
    ldr     next, [group, #SUM + 28]
    .endif
    .endm

/* Where the sum left the range its sign is wrong, and 127 or -128 has that in all other bits. Mostly
 * it is -128, of neurons that are inhibited. */
    .macro saturate
    cbz     over, 1f
    ands    r3, over, x7
    eor     x7, x7, over
    .irp b, 0, 1, 2, 3, 4, 5, 6
    bic     x\b, x\b, over
    .endr
    beq     1f
    .irp b, 0, 1, 2, 3, 4, 5, 6
    orr     x\b, x\b, r3
    .endr
1:
    .endm

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
    .thumb_func
ec_update_fast:
    add     r2, r1, r2, lsl #2      /* the end of the spikes */
    push    {r1, r2, r4-r11, lr}    /* 44 bytes */
next_group:
    ldm     group, {r4-r11}
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    load_scaled \b
    decay_bit \b, EC_FAST_CURRENT_SHIFT
    add_bit \b
    .endr
    saturate
    stm     group, {r4-r11}
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    ldr     next, [group, #DRIVE + 4 * \b]
    add_bit \b
    .endr
    saturate
    add     r3, group, #SUM
    stm     r3, {r4-r11}
    add     r3, group, #MEMBRANE
    ldm     r3, {r4-r11}
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    ldr     next, [group, #SUM + 4 * \b]
    decay_bit \b, EC_FAST_MEMBRANE_SHIFT
    add_bit \b
    .endr
    bic     r2, x6, x7              /* 64 or more, */
    orr     r2, r2, over            /* or beyond 127 or -128 */
    bic     r3, over, x7            /* below -128 */
    eor     x7, x7, over
    eor     r3, r3, r2              /* the spikes */
    .irp b, 0, 1, 2, 3, 4, 5, 6
    bic     x\b, x\b, r2
    .endr
    add     r2, group, #MEMBRANE
    stm     r2, {r4-r11}
    add     group, group, #GROUP
    ldrd    r1, r2, [sp]
    str     r3, [r1], #4
    str     r1, [sp]
    cmp     r1, r2
    bne     next_group
    add     sp, sp, #8
    pop     {r4-r11, pc}
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 44
