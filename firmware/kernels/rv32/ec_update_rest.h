/* For assembly: a substep of 32 neurons in planes, as ec_planes.h of the core has it. The planes of a
 * current, then of its sum with the drive, are in s0 ... s7, those of the membrane potential in
 * a0 ... a7.
 *
 * ec_update_rest goes on where the sum was added to the decayed current: it saturates, adds the drive
 * and steps the membrane potential. It moves `group` and `spikes` to the next ones.
 */
#ifndef EC_UPDATE_REST_H
#define EC_UPDATE_REST_H

#include "ec_fast.h"

#define CURRENT  0 /* offsets in an ec_group */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define group  s8
#define spikes s10
#define carry  t2
#define borrow t3
#define over   t4 /* ones where the last sum left the range */
#define unlike t5 /* ones where the borrow is not the sign */

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

#endif
