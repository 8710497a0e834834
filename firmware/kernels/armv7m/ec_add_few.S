/* void ec_add_few(ec_group *groups, const uint32_t *column, const uint32_t *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * ec_add_few.c of the core with its six planes in r4 ... r9, the upper three only from when they are
 * needed. The bits of n_rows lie in the flags, which nothing else changes: 16 in N, 8 in Z, 4 in C, 2
 * in V.
 */
#include "ec_adders.h"
#include "ec_asm.h"

    .syntax unified
    .thumb

#define SUM   96 /* in an ec_group */
#define GROUP 128

/* The frame: what r2 ... r6 begin a word with, what r7 ... r9 get later, and the last group's end. */
#define ROWS  0
#define FLAGS 4
#define START 8
#define UPPER 20
#define END   32
#define FRAME 36
#define WORDS 72 /* pushed by the caller, and the planes of `start` behind it */

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
    sub     sp, sp, #FRAME
    lsl     r3, r3, #27
    strd    r2, r3, [sp, #ROWS]
    ldrd    r2, r3, [sp, #WORDS]
    ldm     r3, {r4-r9}
    add     r3, sp, #START
    stm     r3, {r4-r9}
    add     r0, r0, #SUM
    add     r2, r0, r2, lsl #7      /* times GROUP */
    str     r2, [sp, #END]
word:
    ldm     sp, {r2-r6}
    msr     apsr_nzcvq, r3
    bpl     not_sixteen
    ldm     r2!, {r3, r7-r12, lr}
    load    r3, r7, r8, r9, r10, r11, r12, lr
    add_four r3, r7, r8, r9
    add_four r10, r11, r12, lr
    add_first r5, r8, r3
    add_second r5, r8, r12, r10
    add_first r6, r12, r8           /* r12 waits for the other eight */
    ldm     r2!, {r3, r7-r11, lr}
    load    r3, r7, r8, r9, r10, r11, lr
    add_four r3, r7, r8, r9
    ldr     r7, [r2], #4
    load    r7
    add_four r10, r11, lr, r7
    add_first r5, r8, r3
    add_second r5, r8, lr, r10
    add_second r6, r12, lr, r8
    ldrd    r7, r8, [sp, #UPPER]
    ldr     r9, [sp, #UPPER + 8]
    add_last r7, lr, r12
    carry   r8, lr, r3
    eor     r9, r9, r3
    bne     not_eight
eight:
    ldm     r2!, {r3, r10-r12, lr}
    load    r3, r10, r11, r12, lr
    add_four r3, r10, r11, r12
    ldrd    r10, r12, [r2], #8
    load    r10, r12
    eor     r10, r10, lr
    add_first r4, lr, r10
    ldr     r10, [r2], #4
    load    r10
    eor     r10, r10, r12
    add_second r4, lr, r12, r10
    add_first r5, r11, r3
    add_second r5, r11, r12, lr
    add_last r6, r12, r11
    carry   r7, r12, r3
    carry   r8, r3, r12
    eor     r9, r9, r12
not_eight:
    bcc     not_four
    ldm     r2!, {r3, r10-r12}
    load    r3, r10, r11, r12
    add_four r3, r10, r11, r12
    add_last r5, r11, r3
    carry   r6, r11, r3
    carry   r7, r3, r11
    carry   r8, r11, r3
    eor     r9, r9, r3
not_four:
    bvc     not_two
    ldrd    r3, r10, [r2], #8
    load    r3, r10
    eor     r10, r10, r3
    add_last r4, r3, r10
    carry   r5, r3, r10
    carry   r6, r10, r3
    carry   r7, r3, r10
    carry   r8, r10, r3
    eor     r9, r9, r3
not_two:
    ldr     r3, [sp, #FLAGS]
    lsls    r3, r3, #4
    bpl     store
    ldr     r3, [r2]
    load    r3
    carry   r4, r3, r10
    carry   r5, r10, r3
    carry   r6, r3, r10
    carry   r7, r10, r3
    carry   r8, r3, r10
    eor     r9, r9, r10
store:
    mov     r10, r9
    mov     r11, r9
    stm     r0, {r4-r11}
    add     r0, r0, #GROUP
    add     r1, r1, #4
    ldr     r3, [sp, #END]
    cmp     r0, r3
    bne     word
    add     sp, sp, #FRAME
    pop     {r4-r11, pc}

not_sixteen:
    ldrd    r7, r8, [sp, #UPPER]
    ldr     r9, [sp, #UPPER + 8]
    beq     eight
    b       not_eight
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, 72
