/* void ec_step_few(ec_net *net)
 *
 * ec_add_few and ec_update_fast for one word after another, so that the planes stay in registers. Rows
 * are counted from nothing, the single one first: what a part of them carries is then a plane of its
 * own, and no carry runs further. Inhibitory spikes are subtracted in the lanes.
 */
#include "ec_adders.h"
#include "ec_asm.h"
#include "ec_lanes.h"

    .syntax unified
    .thumb

#define POLICY 0 /* in an ec_net */
#define SPIKES 4
#define GROUPS 12
#define ROWS   28
#define N_ROWS 32
#define N_INH  38
#define N      4 /* in an ec_policy */
#define W_REC  28

#define column r1
#define row    r2 /* the next in the list */

/* The frame: what a word begins with, in r0 ... r3, r12, lr, then what it ends with. */
#define AT_GROUP    0
#define AT_COLUMN   4
#define AT_ROWS     8
#define AT_INH      12 /* inhibitory spikes, in each byte */
#define AT_SPIKE    16
#define AT_FLAGS    20 /* n_rows: 16 in N, 8 in Z, 4 in C; 2 and 1 below */
#define AT_DISTANCE 24 /* from the column to its spikes */
#define AT_END      28 /* of the columns */
#define FRAME       32

    .section .text.ec_step_few, "ax", %progbits
    .balign 4
    .global ec_step_few
    .type ec_step_few, %function
    .thumb_func
ec_step_few:
    push    {r4-r11, lr}            /* 36 bytes */
    sub     sp, sp, #FRAME
    ldrd    r1, r2, [r0, #POLICY]
    ldr     r3, [r0, #GROUPS]
    ldr     r4, [r1, #W_REC]
    ldr     r5, [r0, #ROWS]
    ldrh    r6, [r0, #N_INH]
    mov     r7, #0x01010101
    mul     r6, r6, r7
    mvn     r7, r7                  /* spike */
    ldrh    r8, [r0, #N_ROWS]
    lsl     r8, r8, #27
    sub     r9, r2, r4
    ldrh    r10, [r1, #N]
    add     r10, r4, r10, lsr #3
    stm     sp, {r3-r10}
word:
    ldm     sp, {r0-r3, r12, lr}
    lsls    r3, lr, #4              /* N: 1, C: 2 */
    bmi     one
    bcc     none
    ldrd    r3, r5, [row], #8
    load    r3, r5
    eor     r4, r3, r5
    and     r5, r5, r3
lower:
    msr     apsr_nzcvq, lr
    mov     r6, #0
    bcc     not_four
    ldm     row!, {r3, r6, r9, r10}
    load    r3, r6, r9, r10
    add_four r3, r9, r6, r10
    add_last r5, r6, r3
not_four:
    mov     r7, #0
    bne     not_eight
    ldm     row!, {r0, r3, r7-r12}
    load    r0, r3, r7, r8, r9, r10, r11, r12
    add_four r0, r3, r8, r9
    add_four r10, r11, r7, r12
    add_first r5, r8, r0
    add_second r5, r8, r7, r10
    add_last r6, r7, r8
not_eight:
    bpl     not_sixteen
    ldm     row!, {r0, r3, r8-r12, lr}
    load    r0, r3, r8, r9, r10, r11, r12, lr
    add_four r0, r3, r8, r9
    add_four r10, r11, r12, lr
    add_first r5, r8, r0
    add_second r5, r8, r12, r10
    add_first r6, r12, r8           /* r12 waits for the other eight */
    ldm     row, {r0, r2, r3, r8-r11, lr}
    load    r0, r2, r3, r8, r9, r10, r11, lr
    add_four r0, r2, r3, r9
    add_four r10, r11, r8, lr
    add_first r5, r3, r0
    add_second r5, r3, r8, r10
    add_second r6, r12, r8, r3
    add_last r7, r8, r12
counted:
    exchange r4, r5, 1, 0x55555555
    exchange r6, r7, 1, 0x55555555
    exchange r4, r6, 2, 0x33333333
    exchange r5, r7, 2, 0x33333333
    mov     lr, #0x11111111
    and     r9, lr, r8, lsr #1
    and     r10, lr, r8, lsr #2
    and     r11, lr, r8, lsr #3
    and     r8, lr, r8
    exchange r4, r8, 4, 0x0F0F0F0F
    exchange r5, r9, 4, 0x0F0F0F0F
    exchange r6, r10, 4, 0x0F0F0F0F
    exchange r7, r11, 4, 0x0F0F0F0F
    ldm     sp, {r0-r3, r12}
    .irp x, r4, r5, r6, r7, r8, r9, r10, r11
    ssub8   \x, \x, r3
    .endr
    mov     most, #0xBFBFBFBF
    bl      ec_lanes_step
    ldm     sp, {r2-r9}
    mvn     silent, silent
    str     silent, [r3, r8]
    add     r3, r3, #4
    add     r0, r0, #GROUP - 32
    strd    r0, r3, [sp]
    cmp     r3, r9
    bne     word
    add     sp, sp, #FRAME
    pop     {r4-r11, pc}

none:
    mov     r4, #0
    mov     r5, #0
    b       lower
one:
    ldr     r4, [row], #4
    load    r4
    mov     r5, #0
    bcc     lower
    ldrd    r3, r5, [row], #8
    load    r3, r5
    eor     r3, r3, r5
    add_last r4, r5, r3
    b       lower
not_sixteen:
    mov     r8, #0
    b       counted
    .size ec_step_few, . - ec_step_few
    stack_size ec_step_few, 68
