/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * ec_planes.h for Armv6-M, which has eight registers to compute with: bit by bit in three passes over
 * the planes, each bit through all sums of a pass before the next bit.
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
#define SIGN     28 /* offset of plane 7 */

/* sum + a + b; the carry is left in a: see ec_add_few.S. */
    .macro full_add sum, a, b
    eors    \sum, \a
    eors    \b, \a
    eors    \sum, \b
    bics    \b, \sum
    eors    \sum, \a
    eors    \a, \b
    .endm

/* difference - borrow - b; the borrow is left in `borrow`. It differs from a sum in one operation: for
 * unlike borrow and b what goes on is the complement of the difference, not itself. */
    .macro full_subtract difference, borrow, b
    eors    \difference, \borrow
    eors    \b, \borrow
    eors    \difference, \b
    ands    \b, \difference
    eors    \difference, \borrow
    eors    \borrow, \b
    .endm

/* r3 = x - (x >> k), bit b, with the borrow in r1. */
    .macro decay at, k, b
    ldr     r3, [r0, #\at + 4 * \b]
    .if \b + \k < 7
    ldr     r4, [r0, #\at + 4 * (\b + \k)]
    .else
    ldr     r4, [r0, #\at + SIGN]
    .endif
    full_subtract r3, r1, r4
    .endm

/* r4 = bit b of the sum times 2^gain. */
    .macro scaled b
    .if \b - EC_FAST_RECURRENT_GAIN < 7
    ldr     r4, [r0, #SUM + 4 * (\b - EC_FAST_RECURRENT_GAIN)]
    .else
    ldr     r4, [r0, #SUM + SIGN]
    .endif
    .endm

/* Current: decays and takes the sum, modulo 256, into the sum's place. r2: the carry. The planes that
 * a gain below 0 reads stand higher than the one that is written. */
    .macro first b
    decay   CURRENT, EC_FAST_CURRENT_SHIFT, \b
    .if \b == 7
    mov     r8, r3                  /* sign of the decayed current */
    .endif
    scaled  \b
    .if \b == 7
    mov     r9, r4                  /* and of the sum */
    .endif
    full_add r3, r2, r4
    str     r3, [r0, #SUM + 4 * \b]
    .endm

/* Current: saturates by r5 (over) and r6 (its bits where over), and takes the drive into the sum's
 * place, with the carry in r1. */
    .macro second b
    ldr     r3, [r0, #SUM + 4 * \b]
    .if \b < 7
    bics    r3, r5
    orrs    r3, r6
    .else
    eors    r3, r5
    mov     r8, r3
    .endif
    str     r3, [r0, #CURRENT + 4 * \b]
    ldr     r4, [r0, #DRIVE + 4 * \b]
    .if \b == 7
    mov     r9, r4
    .endif
    full_add r3, r1, r4
    str     r3, [r0, #SUM + 4 * \b]
    .endm

/* Membrane: decays and takes what the second pass left, saturated by r5 and r6; r2: the carry. */
    .macro third b
    decay   MEMBRANE, EC_FAST_MEMBRANE_SHIFT, \b
    ldr     r4, [r0, #SUM + 4 * \b]
    .if \b < 7
    bics    r4, r5
    orrs    r4, r6
    .else
    eors    r4, r5
    mov     r8, r3
    mov     r9, r4
    .endif
    full_add r3, r2, r4
    str     r3, [r0, #SUM + 4 * \b]
    .endm

    .macro kept b
    ldr     r1, [r0, #SUM + 4 * \b]
    ands    r1, r2
    str     r1, [r0, #MEMBRANE + 4 * \b]
    .endm

/* From the signs of what was added (r8, r9) and of the sum (r3): r5 has ones where it left the range,
 * and r6 where it left it upwards. */
    .macro overflow
    mov     r5, r8
    mov     r6, r9
    eors    r6, r5
    eors    r5, r3
    bics    r5, r6
    mov     r6, r8
    mvns    r6, r6
    ands    r6, r5
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
    push    {r4, r5}                /* 8 */
    mov     r12, r1
    mov     lr, r2
group:
    movs    r1, #0
    movs    r2, #0
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    first   \b
    .endr
    overflow
    movs    r1, #0
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    second  \b
    .endr
    overflow
    movs    r1, #0
    movs    r2, #0
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    third   \b
    .endr
    overflow                        /* upwards: a spike; downwards: -128 */
    ldr     r1, [r0, #SUM + 24]     /* 64 or more */
    bics    r1, r3
    bics    r1, r5
    orrs    r1, r6                  /* the spikes */
    bics    r5, r6                  /* the floor */
    mov     r7, r12
    stm     r7!, {r1}
    mov     r12, r7
    movs    r2, r1
    orrs    r2, r5
    mvns    r2, r2
    ands    r3, r2
    orrs    r3, r5
    str     r3, [r0, #MEMBRANE + SIGN]
    .irp b, 0, 1, 2, 3, 4, 5, 6
    kept    \b
    .endr
    adds    r0, #GROUP
    mov     r1, lr
    subs    r1, #1
    mov     lr, r1
    beq     end
    b       group
end:
    pop     {r4, r5}
    mov     r8, r4
    mov     r9, r5
    pop     {r4-r7, pc}
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 28
