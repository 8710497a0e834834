/* void ec_list_rows(const ec_net *net, uint32_t flip, ec_list *list)
 *
 * ec_list.c of the core, with one counter for all outputs while only excitatory neurons are listed and
 * another, later subtracted, for the inhibitory ones.
 */
#include "ec_asm.h"

    .syntax unified
    .thumb

#define POLICY 0 /* in an ec_net */
#define SPIKES 4
#define CODES  20
#define ROWS   28
#define N_ACT  2 /* in an ec_policy */
#define N      4
#define N_EXC  6

#define FIELDS 4
#define COUNTS 0x80808080

#define end    r0 /* of the spikes */
#define flip   r1
#define border r2 /* behind the words that need no second look; 0 where `high` is needed */
#define bits   r3
#define row    r6
#define last   r7 /* row of the word's last neuron */
#define bytes  r8 /* of a row */
#define code   r9 /* of the word's last neuron */
#define low    r10 /* spikes that reach outputs 0 ... 3, a byte each */
#define fields r11
#define high   r12 /* and 4 ... 7, */
#define top    r12 /* or, where there are none, the highest bit */
#define spikes lr

/* The frame. With the place behind a word of spikes, `code` is that and CODE_BASE, `last` is that times
 * N_HERE and LAST_BASE. */
#define CODE_BASE  0
#define N_HERE     4
#define LAST_BASE  8
#define LIST       12
#define FIRST      16 /* row */
#define MOST       20 /* the last place of a row from which it goes on */
#define EXC_HERE   24 /* excitatory neurons of the word that `border` tells */
#define LATER      28 /* its inhibitory ones that spiked */
#define EXCITATORY 32 /* low and high of excitatory neurons */
#define INHIBITORY 40 /* the first row of an inhibitory one */
#define BORDER     44 /* behind the words that have but excitatory neurons; -1 from the first row on */
#define FRAME      48

/* All bits, one by one. */
    .macro list_bits with_high
    ldm     sp, {r4, r5, last}
    add     code, r4, spikes, lsl #3
    mla     last, spikes, r5, last
1:  clz     r4, bits
    .if \with_high
    mov     r5, #0x80000000
    lsr     r5, r5, r4
    .else
    lsr     r5, top, r4
    .endif
    bics    bits, bits, r5          /* nothing below changes the flags */
    ldrb    r5, [code, r4]
    mls     r4, r4, bytes, last
    str     r4, [row], #4
    .if \with_high
    ubfx    r4, r5, #0, #FIELDS
    ldr     r4, [fields, r4, lsl #2]
    add     low, low, r4
    ubfx    r5, r5, #FIELDS, #FIELDS
    ldr     r5, [fields, r5, lsl #2]
    add     high, high, r5
    .else
    ldr     r5, [fields, r5, lsl #2]
    add     low, low, r5
    .endif
    bne     1b
    .endm

    .section .text.ec_list_rows, "ax", %progbits
    .balign 4
    .global ec_list_rows
    .type ec_list_rows, %function
    .thumb_func
ec_list_rows:
    push    {r4-r11, lr}            /* 36 bytes */
    sub     sp, sp, #FRAME
    str     r2, [sp, #LIST]
    ldrd    r3, spikes, [r0, #POLICY]
    ldr     r7, [r0, #CODES]
    ldr     row, [r0, #ROWS]
    ldrh    r4, [r3, #N]
    ldrh    r5, [r3, #N_EXC]
    ldrh    r3, [r3, #N_ACT]
    lsr     bytes, r4, #3
    add     end, spikes, bytes
    sub     r7, r7, #32
    sub     r7, r7, spikes, lsl #3
    mul     r9, spikes, r4
    add     r9, r9, bytes
    rsb     r9, r9, #0
    strd    r7, r4, [sp, #CODE_BASE]
    str     r9, [sp, #LAST_BASE]
    add     r4, row, r4, lsl #1
    strd    row, r4, [sp, #FIRST]
    and     r4, r5, #31
    str     r4, [sp, #EXC_HERE]
    lsr     border, r5, #5
    add     border, spikes, border, lsl #2
    str     border, [sp, #BORDER]
    ldr     fields, =spread
    mov     low, #COUNTS
    mov     top, #0x80000000
    cmp     r3, #FIELDS
    bls     next_word
    mov     border, #0
    mov     high, #COUNTS
next_word:
    ldr     bits, [spikes], #4
    eors    bits, bits, flip
    bne     some
none:
    cmp     spikes, end
    bne     next_word
    b       done
some:
    cmp     spikes, border
    bhi     another_look
narrow:
    list_bits 0
listed:
    ldr     r4, [sp, #MOST]
    cmp     row, r4
    bls     none
done:
    ldrd    r4, r5, [sp, #LIST]
    sub     r0, row, r5
    lsrs    r0, r0, #2
    mov     r1, #0
    ldrd    r5, r3, [sp, #INHIBITORY]
    adds    r3, r3, #1
    bne     1f                      /* none was inhibitory */
    ldrd    r2, r3, [sp, #EXCITATORY]
    sub     low, r2, low
    sub     high, r3, high
    sub     r1, row, r5
    lsrs    r1, r1, #2
1:  strd    r0, r1, [r4]
    strd    low, high, [r4, #8]
    add     sp, sp, #FRAME
    pop     {r4-r11, pc}

another_look:
    ldr     r4, [sp, #BORDER]
    cmp     spikes, r4
    bhi     inhibitory
wide:
    list_bits 1
    b       listed

/* The first word that has inhibitory neurons, or spikes of them. */
inhibitory:
    movs    r5, #0                  /* its excitatory neurons */
    sub     r4, spikes, r4
    cmp     r4, #4                  /* 3 or 4: here is the border */
    bhi     1f
    ldr     r4, [sp, #EXC_HERE]
    movs    r5, #1
    lsls    r5, r5, r4
    subs    r5, r5, #1
1:  bic     r4, bits, r5
    str     r4, [sp, #LATER]
    ands    bits, bits, r5
    beq     3f
    cbz     border, 2f
    list_bits 0
    b       3f
2:  list_bits 1
3:  ldr     bits, [sp, #LATER]
    cmp     bits, #0
    beq     listed
    strd    low, high, [sp, #EXCITATORY]
    str     row, [sp, #INHIBITORY]
    mov     low, #0
    mov     r4, #-1                 /* all that follow are inhibitory */
    str     r4, [sp, #BORDER]
    cbz     border, 4f
    mov     border, r4
    b       narrow
4:  mov     high, #0
    b       wide
    .ltorg
    .size ec_list_rows, . - ec_list_rows
    stack_size ec_list_rows, 84

/* Four bits of a code, each in a byte. */
    .section .rodata.ec_list_spread, "a", %progbits
    .balign 4
spread:
    .4byte 0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001, 0x00010100, 0x00010101
    .4byte 0x01000000, 0x01000001, 0x01000100, 0x01000101, 0x01010000, 0x01010001, 0x01010100, 0x01010101
