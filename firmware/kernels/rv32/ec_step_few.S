/* void ec_step_few(ec_net *net)
 *
 * ec_add_few and ec_update_fast for two words after two others, so that the planes of sums stay in
 * registers; those of the second wait in the group of the first. The upper three are the sign. The
 * second of the last two may be none, as in ec_add_few.
 */
#include "ec_add_pair.h"
#include "ec_asm.h"
#include "ec_update_rest.h"

#define POLICY 0 /* in an ec_net */
#define SPIKES 4
#define GROUPS 12
#define LIST   28
#define N_ROWS 32
#define N_INH  38
#define N      4 /* in an ec_policy */
#define W_REC  28

#define sign a5 /* of the sum */

/* The frame, behind that of ec_add_pair: */
#define SPIKES_END 68
#define PLANES     72
#define FRAME      96

/* Adds the sign of the sum as bit b; only a carry that is not the sign changes anything. */
    .macro add_sign b
    xor     t0, s\b, sign
    xor     s\b, s\b, carry
    .if \b < 7
    and     carry, carry, t0
    .else
    and     t0, t0, carry
    xor     over, carry, t0
    .endif
    .endm

/* Adds bit b of the sum times 2^gain, which is bit p of the sum. From the first sign on `carry` tells
 * where it is not the sign. */
    .macro add_sum b, p
    .if \p < 5
    .irp q, 0, 1, 2, 3, 4
    .if \p == \q
    add_bit s, \b, a\q
    .endif
    .endr
    .else
    .if \b == 0
    mv      carry, sign
    .elseif \p == 5
    xor     carry, carry, sign
    .endif
    add_sign \b
    .endif
    .endm

    .section .text.ec_step_few, "ax", %progbits
    .balign 4
    .global ec_step_few
    .type ec_step_few, %function
ec_step_few:
    addi    sp, sp, -FRAME
    save_registers
    lw      t1, POLICY(a0)
    lw      spikes, SPIKES(a0)
    lw      group, GROUPS(a0)
    lw      column, W_REC(t1)
    lhu     t2, N(t1)
    lw      t3, LIST(a0)
    lhu     t4, N_ROWS(a0)
    keep_rows t3, t4
    srli    t2, t2, 3
    add     t2, t2, spikes
    sw      t2, SPIKES_END(sp)
    lhu     t0, N_INH(a0)
    neg     t0, t0
    .irp b, 0, 1, 2, 3, 4, 5        /* the lowest bits of that */
    slli    t1, t0, 31 - \b
    srai    t1, t1, 31
    sw      t1, PLANES + 4 * \b(sp)
    .endr
    addi    t0, sp, PLANES
    sw      t0, START(sp)
two_words:
    jal     ec_add_pair
    addi    column, column, 8
    .irp b, 0, 1, 2, 3, 4, 5
    sw      s\b, SUM + 4 * \b(group)
    .endr
    jal     update
    lw      t0, SPIKES_END(sp)
    beq     spikes, t0, done
    .irp b, 0, 1, 2, 3, 4, 5
    lw      a\b, SUM - GROUP + 4 * \b(group)
    .endr
    jal     update
    lw      t0, SPIKES_END(sp)
    bne     spikes, t0, two_words
done:
    restore_registers
    addi    sp, sp, FRAME
    ret

update:
    load    s, CURRENT
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    decay_bit s, \b, EC_FAST_CURRENT_SHIFT
    add_sum \b, \b - EC_FAST_RECURRENT_GAIN
    .endr
    j       ec_update_rest
    .size ec_step_few, . - ec_step_few
    stack_size ec_step_few, FRAME
