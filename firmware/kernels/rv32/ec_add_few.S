/* void ec_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * ec_add_few.c of the core for two words at a time, by ec_add_pair. The second of the last two may be
 * none: what is read there is the next row, or W_out behind the last one, and what comes of it is not
 * stored.
 */
#include "ec_add_pair.h"
#include "ec_asm.h"

#define SUM   96 /* in an ec_group */
#define GROUP 128

#define row   s6 /* the next in the list */
#define end   s7 /* of the rows that come in eights */
#define rest  s7 /* what comes then: the lowest three bits matter */
#define group s8
#define words s10

#define FRAME 80

/* Two words of the i-th of the next rows. */
    .macro load_row i, a, b
    lw      \b, 4 * (\i)(row)
    add     \b, \b, column
    lw      \a, 0(\b)
    lw      \b, 4(\b)
    .endm

/* sum + x + y; the carry is left in x. */
    .macro full_add sum, x, y
    xor     t6, \sum, \x
    and     \x, \sum, \x
    xor     \sum, t6, \y
    and     t6, t6, \y
    or      \x, \x, t6
    .endm

/* The i-th of the next rows and the one behind it; the carries are left in a and b. */
    .macro add_rows i, a, b
    load_row \i, \a, \b
    load_row \i + 1, t4, t5
    full_add a0, \a, t4
    full_add s0, \b, t5
    .endm

/* Four rows; the carries of weight 4 are left in a and b. */
    .macro add_four i, a, b, c, d
    add_rows \i, \a, \b
    add_rows \i + 2, \c, \d
    full_add a1, \a, \c
    full_add s1, \b, \d
    .endm

#ifdef __riscv_zbb
/* Two full adders one after the other in 8 gates, for bits that come as one of two and their difference:
 * Kojevnikov, Kulikov, Yaroslavtsev: Finding Efficient Circuits Using SAT-solvers (2009). */

/* sum + two bits, x and their difference; what the carry differs from sum is left in x. */
    .macro add_first sum, x, difference
    xor     \x, \x, \sum
    or      \x, \x, \difference
    xor     \sum, \sum, \difference
    .endm

/* Two more. The second carry is left in x, what both carries differ in `carry`. */
    .macro add_second sum, carry, x, difference
    xor     \x, \x, \sum
    andn    \x, \x, \difference
    xor     \carry, \carry, \x
    xor     \x, \x, \sum
    xor     \sum, \sum, \difference
    .endm

/* The last two; the carry is left in `difference`. */
    .macro add_last sum, x, difference
    xor     t6, \sum, \x
    and     t6, t6, \difference
    xor     \sum, \sum, \difference
    xor     \difference, \x, t6
    .endm

/* Two words of the i-th of the next rows in a and b, their differences from the one behind it in t4 and
 * t5. */
    .macro load_two i, a, b
    load_row \i, \a, \b
    load_row \i + 1, t4, t5
    xor     t4, t4, \a
    xor     t5, t5, \b
    .endm

/* Four rows; carries are left in a and b, their differences from the others in c and d. */
    .macro add_two_pairs i, a, b, c, d
    load_two \i, \c, \d
    add_first a0, \c, t4
    add_first s0, \d, t5
    load_two \i + 2, \a, \b
    add_second a0, \c, \a, t4
    add_second s0, \d, \b, t5
    .endm

/* Eight rows; the carries of weight 8 are left in t0 and t1. */
    .macro add_eight
    add_two_pairs 0, t0, t1, t2, t3
    add_two_pairs 4, a6, a7, t6, s11
    add_first a1, t0, t2
    add_first s1, t1, t3
    add_second a1, t0, a6, t6
    add_second s1, t1, a7, s11
    add_last a2, a6, t0
    add_last s2, a7, t1
    .endm
#else
    .macro add_eight
    add_four 0, t0, t1, t2, t3
    add_four 4, t2, t3, a6, a7
    full_add a2, t0, t2
    full_add s2, t1, t3
    .endm
#endif

/* `from` carries into `sum`; what carries on is in `to`. */
    .macro carry sum, from, to
    and     \to, \sum, \from
    xor     \sum, \sum, \from
    .endm

/* t0 and t1 carry into two planes each, and so on; what carries on is there again. */
    .macro carry_twice a, b, c, d
    carry   \a, t0, t2
    carry   \b, t2, t0
    carry   \c, t1, t3
    carry   \d, t3, t1
    .endm

    .macro end_carry
    xor     a5, a5, t0
    xor     s5, s5, t1
    .endm

    .macro store_planes at, a, b, c, d, e, f
    sw      \a, \at + SUM(group)
    sw      \b, \at + SUM + 4(group)
    sw      \c, \at + SUM + 8(group)
    sw      \d, \at + SUM + 12(group)
    sw      \e, \at + SUM + 16(group)
    sw      \f, \at + SUM + 20(group)
    sw      \f, \at + SUM + 24(group)
    sw      \f, \at + SUM + 28(group)
    .endm

    .section .text.ec_add_few, "ax", %progbits
    .balign 4
    .global ec_add_few
    .type ec_add_few, %function
ec_add_few:
    addi    sp, sp, -FRAME
    save_registers
    keep_rows a2, a3
    sw      a5, START(sp)
    mv      group, a0
    mv      column, a1
    mv      words, a4
two_words:
    jal     ec_add_pair
    store_planes 0, a0, a1, a2, a3, a4, a5
    addi    words, words, -2
    bltz    words, done
    store_planes GROUP, s0, s1, s2, s3, s4, s5
    addi    group, group, 2 * GROUP
    addi    column, column, 8
    bnez    words, two_words
done:
    restore_registers
    addi    sp, sp, FRAME
    ret
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, FRAME

    .section .text.ec_add_pair, "ax", %progbits
    .balign 4
    .global ec_add_pair
    .type ec_add_pair, %function
ec_add_pair:
    lw      t0, START(sp)
    lw      row, ROWS(sp)
    lw      end, ROWS_END(sp)
    .irp b, 0, 1, 2, 3, 4, 5
    lw      a\b, 4 * \b(t0)
    .endr
    .irp b, 0, 1, 2, 3, 4, 5
    mv      s\b, a\b
    .endr
    beq     row, end, four
eight:
    add_eight
    carry_twice a3, a4, s3, s4
    end_carry
    addi    row, row, 32
    bne     row, end, eight
four:
    lw      rest, REST(sp)
    andi    t0, rest, 4
    beqz    t0, two
    add_four 0, t0, t1, t2, t3
    carry_twice a2, a3, s2, s3
    carry   a4, t0, t2
    carry   s4, t1, t3
    xor     a5, a5, t2
    xor     s5, s5, t3
    addi    row, row, 16
two:
    andi    t0, rest, 2
    beqz    t0, one
    add_rows 0, t0, t1
    carry_twice a1, a2, s1, s2
    carry_twice a3, a4, s3, s4
    end_carry
    addi    row, row, 8
one:
    andi    t0, rest, 1
    beqz    t0, added
    load_row 0, t0, t1
    carry_twice a0, a1, s0, s1
    carry_twice a2, a3, s2, s3
    carry   a4, t0, t2
    carry   s4, t1, t3
    xor     a5, a5, t2
    xor     s5, s5, t3
added:
    ret
    .size ec_add_pair, . - ec_add_pair
    stack_size ec_add_pair, 0
