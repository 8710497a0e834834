/* void ec_add_few(ec_group *groups, const uint32_t *column, const uint32_t *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * ec_add_few.c of the core with its six planes in r4 ... r9.
 */
#include "ec_asm.h"

    .syntax unified
    .thumb

#define SUM   96 /* in an ec_group */
#define GROUP 128

/* The frame: */
#define NEXT_SUM 0
#define ROWS     4
#define EIGHTS   8 /* where the rows end that come in eights */
#define REST     12 /* n_rows, of which the lowest three bits matter */
#define WORDS    56 /* pushed by the caller, as START */
#define START    60

/* sum + a + b; the carry is left in a. */
    .macro full_add sum, a, b
    eor     lr, \sum, \a
    and     \a, \sum, \a
    eor     \sum, lr, \b
    and     lr, lr, \b
    orr     \a, \a, lr
    .endm

/* Two or four words from the rows in the list. */
    .macro load_two a, b
    ldrd    \a, \b, [r2], #8
    ldr     \a, [r1, \a]
    ldr     \b, [r1, \b]
    .endm

    .macro load_four
    ldm     r2!, {r3, r10-r12}
    ldr     r3, [r1, r3]
    ldr     r10, [r1, r10]
    ldr     r11, [r1, r11]
    ldr     r12, [r1, r12]
    .endm

/* `from` carries into `sum`; what carries on is in `to`. */
    .macro carry sum, from, to
    and     \to, \sum, \from
    eor     \sum, \sum, \from
    .endm

    .section .text.ec_add_few, "ax", %progbits
    .balign 4
    .global ec_add_few
    .type ec_add_few, %function
    .thumb_func
ec_add_few:
    push    {r4-r11, lr}            /* 36 bytes */
    sub     sp, sp, #20             /* and 20 */
    add     r0, r0, #SUM
    bic     r12, r3, #7
    add     r12, r2, r12, lsl #2
    str     r0, [sp, #NEXT_SUM]
    strd    r2, r12, [sp, #ROWS]
    str     r3, [sp, #REST]
word:
    ldr     r0, [sp, #START]
    ldm     r0, {r4-r9}
    ldrd    r2, r0, [sp, #ROWS]
    cmp     r2, r0
    beq     rest
eight:
    load_four
    full_add r4, r3, r10
    full_add r4, r11, r12
    full_add r5, r3, r11
    load_two r10, r11
    full_add r4, r10, r11
    load_two r11, r12
    full_add r4, r11, r12
    full_add r5, r10, r11
    full_add r6, r3, r10
    carry   r7, r3, lr
    carry   r8, lr, r3
    eor     r9, r9, r3
    cmp     r2, r0
    bne     eight
rest:
    ldr     r0, [sp, #REST]
    lsls    r0, r0, #30             /* 4 in C, 2 in N, 1 below it; they stay */
    bcc     two
    load_four
    full_add r4, r3, r10
    full_add r4, r11, r12
    full_add r5, r3, r11
    carry   r6, r3, lr
    carry   r7, lr, r3
    carry   r8, r3, lr
    eor     r9, r9, lr
two:
    bpl     one
    load_two r3, r10
    full_add r4, r3, r10
    carry   r5, r3, lr
    carry   r6, lr, r3
    carry   r7, r3, lr
    carry   r8, lr, r3
    eor     r9, r9, r3
one:
    lsls    r0, r0, #1
    bpl     done
    ldr     r3, [r2]
    ldr     r3, [r1, r3]
    carry   r4, r3, lr
    carry   r5, lr, r3
    carry   r6, r3, lr
    carry   r7, lr, r3
    carry   r8, r3, lr
    eor     r9, r9, lr
done:
    ldr     r0, [sp, #NEXT_SUM]
    mov     r10, r9
    mov     r11, r9
    stm     r0, {r4-r11}
    add     r0, r0, #GROUP
    str     r0, [sp, #NEXT_SUM]
    add     r1, r1, #4
    ldr     r0, [sp, #WORDS]
    subs    r0, r0, #1
    str     r0, [sp, #WORDS]
    bne     word
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, 56
