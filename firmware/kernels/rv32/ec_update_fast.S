/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words), and ec_update_rest of
 * ec_update_rest.h. Groups where nothing overflows, most of them, skip saturation.
 */
#include "ec_asm.h"
#include "ec_update_rest.h"

#define end  s9 /* of the spikes */
#define next t6 /* what is added */
#define most t6 /* where the last sum is beyond 127 */

/* x & ~y; `inverse` is ~y where the core needs it. */
    .macro and_not to, x, y, inverse
#ifdef __riscv_zbb
    andn    \to, \x, \y
#else
    and     \to, \x, \inverse
#endif
    .endm

    .macro invert to, from
#ifndef __riscv_zbb
    not     \to, \from
#endif
    .endm

/* Bit b of the sum times 2^gain: a gain below 0 reads further up. */
    .macro load_scaled b
    .if \b - EC_FAST_RECURRENT_GAIN < 7
    lw      next, SUM + 4 * (\b - EC_FAST_RECURRENT_GAIN)(group)
    .else
    lw      next, SUM + 28(group)
    .endif
    .endm

/* Where the sum left the range its sign is wrong, and 127 or -128 has that in all other bits. Mostly
 * it is -128, of neurons that are inhibited. */
    .macro saturate
    beqz    over, 1f
    and     most, over, s7
    xor     s7, s7, over
    invert  t0, over
    .irp b, 0, 1, 2, 3, 4, 5, 6
    and_not s\b, s\b, over, t0
    .endr
    beqz    most, 1f
    .irp b, 0, 1, 2, 3, 4, 5, 6
    or      s\b, s\b, most
    .endr
1:
    .endm

#define LINK  44 /* the frame, behind s0 ... s10 */
#define FRAME 48

    .section .text.ec_update_fast, "ax", %progbits
    .balign 4
    .global ec_update_fast
    .type ec_update_fast, %function
ec_update_fast:
    addi    sp, sp, -FRAME
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    sw      s\r, 4 * \r(sp)
    .endr
    sw      ra, LINK(sp)
    mv      group, a0
    mv      spikes, a1
    slli    end, a2, 2
    add     end, end, spikes
next_group:
    load    s, CURRENT
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    load_scaled \b
    decay_bit s, \b, EC_FAST_CURRENT_SHIFT
    add_bit s, \b, next
    .endr
    jal     ec_update_rest
    bne     spikes, end, next_group
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    lw      s\r, 4 * \r(sp)
    .endr
    lw      ra, LINK(sp)
    addi    sp, sp, FRAME
    ret
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, FRAME

    .section .text.ec_update_rest, "ax", %progbits
    .balign 4
    .global ec_update_rest
    .type ec_update_rest, %function
ec_update_rest:
    saturate
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    sw      s\b, CURRENT + 4 * \b(group)
    lw      next, DRIVE + 4 * \b(group)
    add_bit s, \b, next
    .endr
    saturate
    load    a, MEMBRANE
    .irp b, 0, 1, 2, 3, 4, 5, 6, 7
    decay_bit a, \b, EC_FAST_MEMBRANE_SHIFT
    add_bit a, \b, s\b
    .endr
    invert  t1, a7
    and_not t0, a6, a7, t1          /* 64 or more, */
    or      t0, t0, over            /* or beyond 127 or -128 */
    and_not t1, over, a7, t1        /* below -128 */
    xor     t1, t0, t1
    sw      t1, 0(spikes)
    invert  t1, t0                  /* neither a spike nor at the floor */
    .irp b, 0, 1, 2, 3, 4, 5, 6
    and_not a\b, a\b, t0, t1
    sw      a\b, MEMBRANE + 4 * \b(group)
    .endr
    xor     a7, a7, over
    sw      a7, MEMBRANE + 28(group)
    addi    group, group, GROUP
    addi    spikes, spikes, 4
    ret
    .size ec_update_rest, . - ec_update_rest
    stack_size ec_update_rest, 0
