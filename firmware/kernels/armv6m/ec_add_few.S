/* void ec_add_few(ec_group *groups, const uint32_t *column, const uint32_t *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * ec_add_few.c of the core for Armv6-M. What eight rows carry beyond the three lower planes waits on the
 * stack, until the rest of the rows is added too: then it is four words at most, for the upper planes.
 */
#include "ec_asm.h"

    .syntax unified
    .thumb

#define SUM   96 /* in an ec_group */
#define GROUP 128
#define UPPER 12 /* offset in six planes */

/* The frame, above what waits: */
#define ROWS  12 /* behind three zeros, in place of eights that there are not */
#define WORDS 52 /* pushed by the caller, as START */
#define START 56

/* sum + a + b; the carry, which is b where the other two differ and else a, is left in a. */
    .macro full_add sum, a, b
    eors    \sum, \a
    eors    \a, \b
    bics    \a, \sum
    eors    \sum, \b
    eors    \a, \b
    .endm

    .macro carry sum, from
    eors    \sum, \from
    bics    \from, \sum
    .endm

/* Two words from the rows in the list. */
    .macro load_two a, b
    ldm     r3!, {\a, \b}
    ldr     \a, [r4, \a]
    ldr     \b, [r4, \b]
    .endm

/* Four rows; what carries, of weight 4, is in r5. */
    .macro add_four
    load_two r5, r6
    full_add r0, r5, r6
    load_two r6, r7
    full_add r0, r6, r7
    full_add r1, r5, r6
    .endm

/* Carry: a bit of the number of rows. */
    .macro test_rows bit
    mov     r5, r9
    lsrs    r5, r5, #\bit + 1
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
    push    {r2}                    /* 4 */
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    push    {r4-r6}                 /* 12, and 12 for three eights */
    mov     r11, sp
    mov     lr, r1
    mov     r9, r3
    lsrs    r3, r3, #3
    lsls    r3, r3, #5
    adds    r3, r3, r2
    mov     r12, r3                 /* where the rows end that come in eights */
    adds    r0, #SUM
    mov     r10, r0                 /* the next sum */
    ldr     r4, [sp, #WORDS]
    lsls    r4, r4, #7              /* times GROUP */
    adds    r0, r0, r4
    mov     r8, r0                  /* behind the last */
word:
    ldr     r7, [sp, #START]
    ldm     r7!, {r0-r2}
    ldr     r3, [sp, #ROWS]
    mov     r4, lr
    cmp     r3, r12
    beq     four
eight:
    add_four
    push    {r5}
    add_four
    pop     {r6}
    full_add r2, r5, r6
    push    {r5}
    cmp     r3, r12
    bne     eight
four:
    test_rows 2
    movs    r7, #0                  /* what the rest carries */
    bcc     two
    add_four
    carry   r2, r5
    movs    r7, r5
two:
    test_rows 1
    bcc     one
    load_two r5, r6
    full_add r0, r5, r6
    carry   r1, r5
    carry   r2, r5
    orrs    r7, r5
one:
    test_rows 0
    bcc     upper
    ldr     r5, [r3]
    ldr     r5, [r4, r5]
    carry   r0, r5
    carry   r1, r5
    carry   r2, r5
    orrs    r7, r5
upper:
    mov     r3, sp
    ldm     r3!, {r4-r6}
    mov     sp, r11
    full_add r4, r5, r6
    ldr     r3, [sp, #START]
    ldr     r6, [r3, #UPPER]
    full_add r6, r4, r7
    ldr     r7, [r3, #UPPER + 4]
    full_add r7, r4, r5
    ldr     r5, [r3, #UPPER + 8]
    eors    r5, r4
    mov     r3, r10
    stm     r3!, {r0-r2, r6, r7}
    movs    r4, r5                  /* bits 5, 6, 7 are the same */
    movs    r6, r5
    stm     r3!, {r4-r6}
    adds    r3, #GROUP - 32
    mov     r10, r3
    movs    r4, #4
    add     lr, r4
    cmp     r3, r8
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
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, 64
