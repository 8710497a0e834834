/* void ec_add_few(ec_group *groups, const uint32_t *column, const uint32_t *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * ec_add_few.c of the core, with three planes in r0 ... r2 and three in r8 ... r10, where Armv6-M
 * can only move them to and from.
 */
#include "ec_asm.h"

    .syntax unified
    .thumb

#define SUM   96 /* in an ec_group */
#define GROUP 128

/* The frame: */
#define NEXT_SUM 0
#define ROWS     4
#define REST     8 /* n_rows, of which the lowest three bits matter */
#define COLUMN   12
#define WORDS    52 /* pushed by the caller, as START */
#define START    56

/* sum + a + b, without a temporary: with x = sum ^ a and d = a ^ b the carry is a ^ (x & d), and x & d
 * is d & ~(x ^ d). It is left in a. */
    .macro full_add sum, a, b
    eors    \sum, \a
    eors    \b, \a
    eors    \sum, \b
    bics    \b, \sum
    eors    \sum, \a
    eors    \a, \b
    .endm

/* Two words from the rows in the list. */
    .macro load_two a, b
    ldm     r3!, {\a, \b}
    ldr     \a, [r4, \a]
    ldr     \b, [r4, \b]
    .endm

/* `from` carries into a low plane; what carries on is in `to`. */
    .macro carry_low sum, from, to
    movs    \to, \sum
    ands    \to, \from
    eors    \sum, \from
    .endm

/* r5 carries into a high plane and becomes what carries on. */
    .macro carry_high sum
    mov     r6, \sum
    movs    r7, r6
    eors    r6, r5
    mov     \sum, r6
    ands    r5, r7
    .endm

    .macro carry_last sum
    mov     r6, \sum
    eors    r6, r5
    mov     \sum, r6
    .endm

    .section .text.ec_add_few, "ax", %progbits
    .balign 4
    .global ec_add_few
    .type ec_add_few, %function
    .thumb_func
ec_add_few:
    push    {r4-r7, lr}             /* 20 bytes */
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}                 /* 16 */
    sub     sp, #16                 /* and 16 */
    adds    r0, #SUM
    str     r0, [sp, #NEXT_SUM]
    str     r1, [sp, #COLUMN]
    str     r2, [sp, #ROWS]
    str     r3, [sp, #REST]
    lsrs    r3, r3, #3
    lsls    r3, r3, #5
    adds    r3, r3, r2
    mov     r12, r3                 /* where the rows end that come in eights */
word:
    ldr     r7, [sp, #START]
    ldm     r7!, {r0-r2, r4-r6}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    ldr     r4, [sp, #COLUMN]
    ldr     r3, [sp, #ROWS]
    cmp     r3, r12
    beq     rest
eight:
    load_two r5, r6
    full_add r0, r5, r6
    load_two r6, r7
    full_add r0, r6, r7
    full_add r1, r5, r6
    mov     r11, r5
    load_two r5, r6
    full_add r0, r5, r6
    load_two r6, r7
    full_add r0, r6, r7
    full_add r1, r5, r6
    mov     r6, r11
    full_add r2, r5, r6
    carry_high r8
    carry_high r9
    carry_last r10
    cmp     r3, r12
    bne     eight
rest:
    ldr     r5, [sp, #REST]
    lsls    r5, r5, #30             /* 4 in C, 2 in N */
    bpl     no_two
    bcc     two                     /* flags of both are needed: 2 without 4, */
    bl      add_four                /* 4 and 2 */
two:
    load_two r5, r6
    full_add r0, r5, r6
    carry_low r1, r5, r6
    carry_low r2, r6, r5
    carry_high r8
    carry_high r9
    carry_last r10
    b       one
no_two:
    bcc     one
    bl      add_four
one:
    ldr     r5, [sp, #REST]
    lsrs    r5, r5, #1
    bcc     done
    ldr     r5, [r3]
    ldr     r5, [r4, r5]
    carry_low r0, r5, r6
    carry_low r1, r6, r5
    carry_low r2, r5, r6
    movs    r5, r6
    carry_high r8
    carry_high r9
    carry_last r10
done:
    adds    r4, #4
    str     r4, [sp, #COLUMN]
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    ldr     r3, [sp, #NEXT_SUM]
    stm     r3!, {r0-r2, r4-r6}
    movs    r5, r6
    stm     r3!, {r5, r6}
    adds    r3, #GROUP - 32
    str     r3, [sp, #NEXT_SUM]
    ldr     r0, [sp, #WORDS]
    subs    r0, #1
    str     r0, [sp, #WORDS]
    beq     end
    b       word
end:
    add     sp, #16
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}

/* Keeps nothing but the planes, r3 and r4. */
    .thumb_func
add_four:
    load_two r5, r6
    full_add r0, r5, r6
    load_two r6, r7
    full_add r0, r6, r7
    full_add r1, r5, r6
    carry_low r2, r5, r6
    movs    r5, r6
    carry_high r8
    carry_high r9
    carry_last r10
    bx      lr
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, 52
