/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * ec_planes.h with the planes of a current, then of its sum with the drive, in s0 ... s7, and those of
 * the membrane potential in a0 ... a7. Groups where nothing overflows, most of them, skip saturation.
 */
#include "ec_asm.h"
#include "ec_fast.h"

#define CURRENT  0 /* offsets in an ec_group */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define group  s8
#define spikes s9
#define end    s10 /* of the spikes */
#define carry  t2
#define borrow t3
#define over   t4 /* ones where the last sum left the range */
#define unlike t5 /* ones where the borrow is not the sign */
#define most   t6 /* where it is beyond 127; or what is added next */
#define next   t6

/* x & ~y; `inverse` is ~y where the core needs it. */
    .macro and_not to, x, y, inverse
#ifdef __riscv_zbb
    andn    \to, \x, \y
#else
    and     \to, \x, \inverse
#endif
    .endm

    .macro invert to, from
#ifndef __riscv_zbb
    not     \to, \from
#endif
    .endm

    .macro load x, at
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    lw      \x\b, \at + 4 * \b(group)
    .endr
    .endm

/* x - (x >> k), bit b, of which x >> k has bit p of x. */
    .macro subtract x, b, p
    .if \b == 0
    xor     \x\()0, \x\()0, \x\p
    and     borrow, \x\()0, \x\p
    .else
    xor     t0, \x\b, \x\p
    xor     t1, \x\p, borrow
    xor     \x\b, t0, borrow
    and     t0, t0, t1
    xor     borrow, borrow, t0
    .endif
    .endm

/* The same where x >> k has but the sign: only a borrow that is not the sign changes anything. */
    .macro subtract_sign x, b
    xor     \x\b, \x\b, unlike
    .if \b < 7
    xor     t0, \x\b, \x\()7
    and     unlike, unlike, t0
    .endif
    .endm

/* x - (x >> k), bit b; the next bits are still those of x. */
    .macro decay_bit x, b, k
    .if \b > 0 && \b + \k >= 7
    .if \b == 1 || \b + \k == 7
    xor     unlike, \x\()7, borrow
    .endif
    subtract_sign \x, \b
    .else
    .irp p, 1, 2, 3, 4, 5, 6, 7
    .if \p == \b + \k
    subtract \x, \b, \p
    .endif
    .endr
    .endif
    .endm

/* Adds bit b, y. */
    .macro add_bit x, b, y
    .if \b == 0
    and     carry, \x\b, \y
    xor     \x\b, \x\b, \y
    .else
    xor     t0, \x\b, carry
    xor     t1, \y, carry
    xor     \x\b, t0, \y
    .if \b < 7
    and     t0, t0, t1
    xor     carry, carry, t0
    .else
    and     over, t0, t1
    .endif
    .endif
    .endm

/* Bit b of the sum times 2^gain: a gain below 0 reads further up. */
    .macro load_scaled b
    .if \b - EC_FAST_RECURRENT_GAIN < 7
    lw      next, SUM + 4 * (\b - EC_FAST_RECURRENT_GAIN)(group)
    .else
    lw      next, SUM + 28(group)
    .endif
    .endm

/* Where the sum left the range its sign is wrong, and 127 or -128 has that in all other bits. Mostly
 * it is -128, of neurons that are inhibited. */
    .macro saturate
    beqz    over, 1f
    and     most, over, s7
    xor     s7, s7, over
    invert  t0, over
    .irp b, 0, 1, 2, 3, 4, 5, 6
    and_not s\b, s\b, over, t0
    .endr
    beqz    most, 1f
    .irp b, 0, 1, 2, 3, 4, 5, 6
    or      s\b, s\b, most
    .endr
1:
    .endm

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
ec_update_fast:
    addi    sp, sp, -48
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    sw      s\r, 4 * \r(sp)
    .endr
    mv      group, a0
    mv      spikes, a1
    slli    end, a2, 2
    add     end, end, spikes
next_group:
    load    s, CURRENT
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    load_scaled \b
    decay_bit s, \b, EC_FAST_CURRENT_SHIFT
    add_bit s, \b, next
    .endr
    saturate
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    sw      s\b, CURRENT + 4 * \b(group)
    lw      next, DRIVE + 4 * \b(group)
    add_bit s, \b, next
    .endr
    saturate
    load    a, MEMBRANE
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    decay_bit a, \b, EC_FAST_MEMBRANE_SHIFT
    add_bit a, \b, s\b
    .endr
    invert  t1, a7
    and_not t0, a6, a7, t1          /* 64 or more, */
    or      t0, t0, over            /* or beyond 127 or -128 */
    and_not t1, over, a7, t1        /* below -128 */
    xor     t1, t0, t1
    sw      t1, 0(spikes)
    invert  t1, t0                  /* neither a spike nor at the floor */
    .irp b, 0, 1, 2, 3, 4, 5, 6
    and_not a\b, a\b, t0, t1
    sw      a\b, MEMBRANE + 4 * \b(group)
    .endr
    xor     a7, a7, over
    sw      a7, MEMBRANE + 28(group)
    addi    group, group, GROUP
    addi    spikes, spikes, 4
    bne     spikes, end, next_group
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    lw      s\r, 4 * \r(sp)
    .endr
    addi    sp, sp, 48
    ret
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 48
