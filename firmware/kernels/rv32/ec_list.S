/* void ec_list_rows(const ec_net *net, uint32_t flip, ec_list *list)
 *
 * Words without a spike cost four instructions. With Zbb, outputs of a word with many spikes are
 * counted at once.
 */
#include "ec_asm.h"

#define POLICY 0 /* in an ec_net */
#define SPIKES 4
#define CODES  20
#define ROWS   28
#define N_ACT  2 /* in an ec_policy */
#define N      4
#define N_EXC  6
#define W_OUT  32
#define N_ROWS 0 /* in an ec_list */
#define N_INH  4
#define LOW    8
#define HIGH   12

#define FIELDS 4
#define MIDDLE 0x80808080
#define DENSE  6 /* spikes of a word from which it pays to count them at once */

#define net    a0
#define flip   a1
#define list   a2
#define spikes a3
#define end    a4 /* of the spikes */
#define row    a5
#define most   a6 /* the last place of a row from which it goes on */
#define bytes  a7 /* of a row */
#define bits   t0
#define last   t3 /* row of the word's last neuron */
#define low    t4 /* spikes that reach outputs 0 ... 3, a byte each */
#define high   t5 /* and 4 ... 7 */
#define code   t6 /* 32 behind those of the word */
#define base   s0 /* `last` less 8 times the place behind the spikes of its word, times `bytes` */
#define codes  s1 /* `code` less 8 times that place */
#define border s2 /* behind the words that have but excitatory neurons */
#define spread s3 /* a factor that moves four bits into a byte each, */
#define ones   s4 /* where this is */
#define n_act  s5 /* at first, then */
#define narrow s5 /* whether `low` has all outputs */
#ifdef __riscv_zbb
#define top    s6
#define w_out  s7
#define w_last s8 /* of the last output, less the place of the spikes */
#else
#define bruijn s6
#define below  s7
#endif

/* The frame, behind s0 ... s8: */
#define LATER      36 /* the inhibitory neurons of a word with both */
#define EXCITATORY 40 /* low and high of excitatory neurons */
#define INHIBITORY 48 /* the first row of an inhibitory one */
#define FRAME      64

/* The next neuron's place in t1. */
    .macro take
#ifdef __riscv_zbb
    clz     t1, bits
    srl     t2, top, t1
    xor     bits, bits, t2
#else
    neg     t1, bits
    and     t1, t1, bits
    xor     bits, bits, t1
    mul     t1, t1, bruijn
    srli    t1, t1, 27
#endif
    .endm

/* The row of that place, so far behind `row`. */
    .macro list_place at
#ifndef __riscv_zbb
    add     t1, t1, below
    lbu     t1, 0(t1)
#endif
    mul     t1, t1, bytes
    sub     t1, last, t1
    sw      t1, \at(row)
    .endm

/* All bits, one by one. */
    .macro list_bits with_high
1:  take
    add     t2, code, t1
    lbu     t2, -32(t2)
    list_place 0
    addi    row, row, 4
    .if \with_high
    srli    t1, t2, FIELDS
    andi    t2, t2, (1 << FIELDS) - 1
    mul     t1, t1, spread
    and     t1, t1, ones
    add     high, high, t1
    .endif
    mul     t2, t2, spread
    and     t2, t2, ones
    add     low, low, t2
    bnez    bits, 1b
    .endm

    .section .text.ec_list_rows, "ax", %progbits
    .balign 4
    .global ec_list_rows
    .type ec_list_rows, %function
ec_list_rows:
    addi    sp, sp, -FRAME
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8
    sw      s\r, 4 * \r(sp)
    .endr
    lw      t0, POLICY(net)
    lw      spikes, SPIKES(net)
    lw      codes, CODES(net)
    lw      row, ROWS(net)
    lhu     t1, N(t0)
    lhu     t2, N_EXC(t0)
    lhu     n_act, N_ACT(t0)
    srli    bytes, t1, 3
    add     end, spikes, bytes
    slli    most, t1, 1
    add     most, most, row
    slli    t1, spikes, 3
    sub     codes, codes, t1
    addi    t1, t1, 1
    mul     base, t1, bytes
    neg     base, base
    srli    border, t2, 5
    slli    border, border, 2
    add     border, border, spikes
#ifdef __riscv_zbb
    lw      w_out, W_OUT(t0)
    addi    t1, n_act, -1
    mul     t1, t1, bytes
    add     w_last, w_out, t1
    sub     w_last, w_last, spikes
    lui     top, 0x80000
#else
    la      below, place_below_last
    li      bruijn, 0x077CB531
#endif
    sltiu   narrow, n_act, FIELDS + 1
    li      spread, 0x00204081
    li      ones, 0x01010101
    li      low, MIDDLE
    mv      high, low
next_word:
    lw      bits, 0(spikes)
    addi    spikes, spikes, 4
    bne     bits, flip, some
none:
    bne     spikes, end, next_word
    j       done
some:
    xor     bits, bits, flip
    slli    t2, spikes, 3
    add     code, codes, t2
    mul     last, t2, bytes
    add     last, last, base
    bltu    border, spikes, inhibitory
alike:
    beqz    narrow, both
#ifdef __riscv_zbb
    cpop    t2, bits
    sltiu   t1, t2, DENSE
    beqz    t1, dense
#endif
    list_bits 0
    bltu    most, row, done
    bne     spikes, end, next_word
done:
    lw      t0, ROWS(net)
    sub     t0, row, t0
    srli    t0, t0, 2
    li      t1, 0
    addi    t3, border, 1
    bnez    t3, 1f
    lw      t1, INHIBITORY(sp)
    sub     t1, row, t1
    srli    t1, t1, 2
    lw      t3, EXCITATORY(sp)
    sub     low, t3, low
    lw      t3, EXCITATORY + 4(sp)
    sub     high, t3, high
1:  sw      t0, N_ROWS(list)
    sw      t1, N_INH(list)
    sw      low, LOW(list)
    sw      high, HIGH(list)
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8
    lw      s\r, 4 * \r(sp)
    .endr
    addi    sp, sp, FRAME
    ret

both:
    list_bits 1
    bltu    most, row, done
    bne     spikes, end, next_word
    j       done

#ifdef __riscv_zbb
dense:
    mv      code, bits
    andi    t1, t2, 1
    beqz    t1, 1f
    take
    list_place 0
    addi    row, row, 4
1:  take
    list_place 0
    take
    list_place 4
    addi    row, row, 8
    bnez    bits, 1b
    add     t1, spikes, w_last
    li      t3, 0
1:  lw      t2, -4(t1)
    slli    t3, t3, 8
    and     t2, t2, code
    cpop    t2, t2
    add     t3, t3, t2
    sub     t1, t1, bytes
    bltu    w_out, t1, 1b
    add     low, low, t3
    bltu    most, row, done
    bne     spikes, end, next_word
    j       done
#endif

/* The first word that has inhibitory neurons, or spikes of them. */
inhibitory:
    li      t2, 0                   /* its excitatory neurons */
    addi    t1, spikes, -4
    bne     t1, border, 1f
    lw      t1, POLICY(net)
    lhu     t1, N_EXC(t1)
    li      t2, 1
    sll     t2, t2, t1
    addi    t2, t2, -1
1:  and     t1, bits, t2
    xor     t2, bits, t1
    sw      t2, LATER(sp)
    mv      bits, t1
    beqz    bits, 2f
    list_bits 1
2:  lw      bits, LATER(sp)
    beqz    bits, 3f
    sw      low, EXCITATORY(sp)
    sw      high, EXCITATORY + 4(sp)
    sw      row, INHIBITORY(sp)
    li      low, 0
    li      high, 0
    li      border, -1
    j       alike
3:  bltu    most, row, done
    j       none
    .size ec_list_rows, . - ec_list_rows
    stack_size ec_list_rows, FRAME

#ifndef __riscv_zbb
    .section .rodata.place_below_last, "a", %progbits
place_below_last:
    .byte 31, 30, 3, 29, 2, 17, 7, 28, 1, 9, 11, 16, 6, 14, 27, 23
    .byte 0, 4, 18, 8, 10, 12, 15, 24, 5, 19, 13, 25, 20, 26, 21, 22
#endif
