/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * ec_planes.h for Armv6-M, which has eight registers to compute with. Planes come and go by four, which
 * is one instruction: the lower four of a sum wait on the stack until the upper ones tell where it left
 * the range.
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
#define UPPER    16 /* offsets in eight planes */
#define SIGN     28
#define PLANES   32

/* sum + a + b; the carry, which is b where the other two differ and else a, is left in a. */
    .macro full_add sum, a, b
    eors    \sum, \a
    eors    \a, \b
    bics    \a, \sum
    eors    \sum, \b
    eors    \a, \b
    .endm

/* The borrow is in r0, here and below. */
    .macro subtract b, plane, part
    .if \b == 0
    eors    \plane, \part
    movs    r0, \part
    ands    r0, \plane
    .else
    eors    \plane, r0
    eors    r0, \part
    ands    r0, \plane
    eors    \plane, \part
    eors    r0, \part
    .endif
    .endm

/* x - (x >> k), bit b. Where x >> k is all sign what is left of it are steps towards zero, of those that
 * r0 then tells. Planes 1 ... 6 of x are in the registers that follow. */
    .macro decay b, k, plane, sign, one, two, three, four, five, six
    .if \b + \k == 1
    subtract \b, \plane, \one
    .elseif \b + \k == 2
    subtract \b, \plane, \two
    .elseif \b + \k == 3
    subtract \b, \plane, \three
    .elseif \b + \k == 4
    subtract \b, \plane, \four
    .elseif \b + \k == 5
    subtract \b, \plane, \five
    .elseif \b + \k == 6
    subtract \b, \plane, \six
    .else
    eors    \plane, \sign
    eors    \plane, r0
    ands    r0, \plane
    eors    \plane, \sign
    .endif
    .endm

/* Before bit b: where a borrow and a sign differ, a step is left. */
    .macro turn b, k, sign
    .if \b + \k == 7
    .if \b == 0
    movs    r0, \sign
    .else
    eors    r0, \sign
    .endif
    .endif
    .endm

    .macro decay_lower b, k, plane, at
    .if \b + \k == 7
    mov     r7, r12
    ldr     r7, [r7, #\at + SIGN]
    .endif
    turn    \b, \k, r7
    decay   \b, \k, \plane, r7, r2, r3, r4, r5, r6, r7
    .endm

    .macro decay_upper b, k, plane
    turn    \b, \k, r4
    decay   \b, \k, \plane, r4, r4, r4, r4, r4, r2, r3
    .endm

/* Bit b of 2^gain times the number that lies `at` bytes from where r7 points to. */
    .macro load b, register, at, gain
    .if \b - \gain < 7
    ldr     \register, [r7, #\at + 4 * (\b - \gain)]
    .else
    ldr     \register, [r7, #\at + SIGN]
    .endif
    .endm

/* Adds it to that of a sum, whose carry is in r5. */
    .macro plus b, plane, at, gain
    .if \b == 0
    load    \b, r5, \at, \gain
    eors    \plane, r5
    bics    r5, \plane
    .else
    load    \b, r6, \at, \gain
    full_add \plane, r5, r6
    .endif
    .endm

    .macro plus_lower at, gain
    plus    0, r1, \at, \gain
    plus    1, r2, \at, \gain
    plus    2, r3, \at, \gain
    plus    3, r4, \at, \gain
    .endm

/* And what follows from all: r4 has ones where the sum left the range, r5 where it left it upwards, r6
 * the sign after saturation. */
    .macro plus_upper at, gain
    plus    4, r1, \at, \gain
    plus    5, r2, \at, \gain
    plus    6, r3, \at, \gain
    load    7, r6, \at, \gain
    eors    r6, r4
    eors    r4, r5
    bics    r4, r6
    eors    r6, r5
    ands    r5, r4
    eors    r6, r4
    .endm

/* Decays the number `at` bytes from r0 = r12, to whose end r7 then points, and adds the sum. */
    .macro decay_and_add at, k, gain
    .if \at
    adds    r0, #\at
    .endif
    ldm     r0!, {r1-r7}
    decay_lower 0, \k, r1, \at
    decay_lower 1, \k, r2, \at
    decay_lower 2, \k, r3, \at
    decay_lower 3, \k, r4, \at
    mov     r7, r12
    plus_lower SUM, \gain
    push    {r1-r4}
    adds    r7, #\at + UPPER
    ldm     r7!, {r1-r4}
    decay_upper 4, \k, r1
    decay_upper 5, \k, r2
    decay_upper 6, \k, r3
    turn    7, \k, r4
    eors    r4, r0
    plus_upper SUM - PLANES - \at, \gain
    .endm

    .macro saturate plane
    bics    \plane, r4
    orrs    \plane, r5
    .endm

/* Stores the upper planes of a number that ends where r7 points to, then the lower ones. */
    .macro store_upper
    subs    r7, #PLANES - UPPER
    stm     r7!, {r1-r3, r6}
    .endm

    .macro store_lower
    subs    r7, #PLANES
    stm     r7!, {r1-r3, r6}
    .endm

    .macro store_saturated
    saturate r1
    saturate r2
    saturate r3
    store_upper
    pop     {r1-r3, r6}
    saturate r1
    saturate r2
    saturate r3
    saturate r6
    store_lower
    .endm

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
    .thumb_func
ec_update_fast:
    push    {r4-r7, lr}             /* 20 bytes */
    mov     r4, r8
    mov     r5, r9
    push    {r4, r5}                /* 8, and 16 for planes */
    mov     r8, r1
    lsls    r2, r2, #2
    adds    r2, r2, r1
    mov     r9, r2                  /* where the spikes end */
group:
    mov     r12, r0
    decay_and_add CURRENT, EC_FAST_CURRENT_SHIFT, EC_FAST_RECURRENT_GAIN
    store_saturated
    mov     r4, r6                  /* the lower planes: r1 ... r4 */
    plus_lower DRIVE - UPPER, 0
    push    {r1-r4}
    ldm     r7!, {r1-r4}
    plus_upper DRIVE - PLANES, 0
    adds    r7, #SUM                /* from the current's end to the sum's */
    store_saturated
    mov     r0, r12
    decay_and_add MEMBRANE, EC_FAST_MEMBRANE_SHIFT, 0
    orrs    r3, r5                  /* 64 or more, */
    movs    r0, r3
    bics    r0, r6                  /* of those above 0: the spikes */
    orrs    r4, r0                  /* of them and the floor nothing is kept but the sign */
    bics    r1, r4
    bics    r2, r4
    bics    r3, r4
    store_upper
    pop     {r1-r3, r6}
    bics    r1, r4
    bics    r2, r4
    bics    r3, r4
    bics    r6, r4
    store_lower
    mov     r1, r8
    stm     r1!, {r0}
    mov     r8, r1
    mov     r0, r7
    adds    r0, #GROUP - MEMBRANE - UPPER
    cmp     r1, r9
    beq     end
    b       group
end:
    pop     {r4, r5}
    mov     r8, r4
    mov     r9, r5
    pop     {r4-r7, pc}
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 44
