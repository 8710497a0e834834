/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * The substep of ec_update.c, eight neurons at a time, whose sums come out of their planes by a
 * transposition. If few spiked the upper planes of the eight are all the same, their sign:
 *
 *   planes 3 ... 7   4 by 8 bits, two sums in a byte, which products take apart
 *   planes 4 ... 7   4 by 8 bits, then the sign
 *   none             8 by 8 bits
 *
 * x >> k is the upper byte of x 2^(8 - k). About 38 cycles a neuron, at best.
 */
#include "ec_asm.h"
#include "ec_fast.h"

#define CURRENT  0 /* offsets in an ec_group, of a byte for each neuron */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define V_TH 64

#define lower   r6  /* 0x0F */
#define upper   r7  /* 0xF0 */
#define left    r12 /* bytes of spikes */
#define fired   r13
#define sums    r14 /* of the next eight; and r15 */
#define state   r20
#define voltage r21
#define part    r22
#define current_factor  r23
#define membrane_factor r24
#define sum_factor      r25

/* Of the upper one of two sums of four bits in a byte, of which a gain of -4 leaves the sign. */
#if EC_FAST_RECURRENT_GAIN > -4
#define SUM_FACTOR 16 >> -EC_FAST_RECURRENT_GAIN
#else
#define SUM_FACTOR 1
#endif

/* Exchanges the bits of `mask` in `low` with those `shift` lower in `high`. */
    .macro exchange low, high, shift, mask
    mov     state, \high
    .if \shift == 4
    swap    state
    .else
    .rept   \shift
    lsl     state
    .endr
    .endif
    eor     state, \low
    andi    state, \mask
    eor     \low, state
    .if \shift == 4
    swap    state
    .else
    .rept   \shift
    lsr     state
    .endr
    .endif
    eor     \high, state
    .endm

/* Four planes: sum i in the lower, i + 4 in the upper half of each. */
    .macro transpose p0, p1, p2, p3
    exchange \p0, \p2, 2, 0xCC
    exchange \p1, \p3, 2, 0xCC
    exchange \p0, \p1, 1, 0xAA
    exchange \p2, \p3, 1, 0xAA
    .endm

/* Both with the sign that they share with others. */
    .macro unpack i, low, high, sign
    mov     \high, \low
    swap    \high
    and     \high, lower
    sbrc    \sign, \i + 4
    or      \high, upper
    and     \low, lower
    sbrc    \sign, \i
    or      \low, upper
    .endm

    .macro decay x, shift, factor
    .if \shift == 1                 /* no signed factor */
    mov     r1, \x
    asr     r1
    .else
    muls    \x, \factor
    .endif
    sub     \x, r1
    .endm

    .macro load_current i
    ldd     state, Y + CURRENT + \i
    decay   state, EC_FAST_CURRENT_SHIFT, current_factor
    .endm

/* From the current on, whose overflow the flag tells. Y: current, Z: drive. */
    .macro step way, i, overflows=1
    .if \overflows
    brvs    \way\()_over_c\i
\way\()_summed\i:
    .endif
    std     Y + CURRENT + \i, state
    ldd     part, Z + \i
    add     part, state
    brvs    \way\()_over_d\i
\way\()_driven\i:
    ldd     voltage, Y + MEMBRANE + \i
    decay   voltage, EC_FAST_MEMBRANE_SHIFT, membrane_factor
    add     voltage, part
    brvs    \way\()_over_v\i
    cpi     voltage, V_TH
    brge    \way\()_spike\i
\way\()_stepped\i:
    std     Y + MEMBRANE + \i, voltage
    .endm

/* After an overflow, what the sum should be: 127 or -128. */
    .macro saturate x
    lsl     \x
    sbc     \x, \x
    subi    \x, 0x80
    .endm

/* What seldom happens to it, in reach of its branches. */
    .macro seldom way, i, overflows=1
    .if \overflows
\way\()_over_c\i:
    saturate state
    rjmp    \way\()_summed\i
    .endif
\way\()_over_d\i:
    saturate part
    rjmp    \way\()_driven\i
\way\()_over_v\i:
    brmi    \way\()_spike\i         /* beyond 127 */
    ldi     voltage, 0x80
    rjmp    \way\()_stepped\i
\way\()_spike\i:
    set
    bld     fired, \i
    clr     voltage
    rjmp    \way\()_stepped\i
    .endm

/* Sums of four bits cause no overflow after a decay of 2^-4 or more. */
#define FEW_OVERFLOW (EC_FAST_CURRENT_SHIFT > 4)

/* Neurons i + 4 and i, whose sums are the halves of a byte. */
    .macro neuron_few i, both
    load_current \i
    .if \i < 4
    swap    \both
    .endif
    muls    \both, sum_factor
    add     state, r1
    step    few, \i, FEW_OVERFLOW
    .endm

    .macro neuron_any i, sum
    load_current \i
    .rept   -EC_FAST_RECURRENT_GAIN
    asr     \sum
    .endr
    add     state, \sum
    step    any, \i
    .endm

    .section .text.ec_update_fast, "ax", @progbits
    .global ec_update_fast
    .type ec_update_fast, @function
ec_update_fast:
    .irp    r, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16, r17, r28, r29
    push    \r
    .endr
    movw    r28, r24                /* Y: current of the next eight */
    movw    r26, r22                /* X: spikes */
    mov     left, r20
    lsl     left
    lsl     left
    ldi     current_factor, 1 << (8 - EC_FAST_CURRENT_SHIFT)
    ldi     membrane_factor, 1 << (8 - EC_FAST_MEMBRANE_SHIFT)
    ldi     sum_factor, SUM_FACTOR
    ldi     state, 0x0F
    mov     lower, state
    com     state
    mov     upper, state
    rjmp    next_group

to_more:                            /* in reach */
    rjmp    more

next_group:
    movw    r30, r28
    subi    r30, lo8(-SUM)
    sbci    r31, hi8(-SUM)
    movw    sums, r30

next_eight:
    movw    r30, sums
    ldd     r16, Z + 0
    ldd     r17, Z + 4
    ldd     r18, Z + 8
    ldd     r19, Z + 12
    ldd     r8, Z + 16
    ldd     r9, Z + 20
    ldd     r10, Z + 24
    ldd     r11, Z + 28
    adiw    r30, 1
    movw    sums, r30
    movw    r30, r28
    subi    r30, lo8(-DRIVE)
    sbci    r31, hi8(-DRIVE)
    clr     fired
    cp      r8, r19
    cpc     r9, r19
    cpc     r10, r19
    cpc     r11, r19
    brne    to_more

    transpose r16, r17, r18, r19
    neuron_few 4, r16
    neuron_few 0, r16
    rjmp    1f
    .irp    i, 4, 0, 5, 1
    seldom  few, \i, FEW_OVERFLOW
    .endr
1:  neuron_few 5, r17
    neuron_few 1, r17
    neuron_few 6, r18
    neuron_few 2, r18
    rjmp    2f
    .irp    i, 6, 2, 7, 3
    seldom  few, \i, FEW_OVERFLOW
    .endr
2:  neuron_few 7, r19
    neuron_few 3, r19

end_eight:
    st      X+, fired
    adiw    r28, 8
    dec     left
    breq    done
    mov     part, left              /* a multiple of four: the next group */
    andi    part, 3
    breq    skip
    rjmp    next_eight
skip:
    subi    r28, lo8(-(GROUP - 32))
    sbci    r29, hi8(-(GROUP - 32))
    rjmp    next_group
done:
    clr     r1                      /* which compiled code takes for a zero */
    .irp    r, r29, r28, r17, r16, r15, r14, r13, r12, r11, r10, r9, r8, r7, r6
    pop     \r
    .endr
    ret

more:
    cp      r9, r8
    cpc     r10, r8
    cpc     r11, r8
    breq    1f
    rjmp    many
1:  transpose r16, r17, r18, r19
    mov     r0, r8
    unpack  0, r16, r8, r0
    unpack  1, r17, r9, r0
    unpack  2, r18, r10, r0
    unpack  3, r19, r11, r0
any:
    neuron_any 0, r16
    neuron_any 1, r17
    rjmp    1f
    .irp    i, 0, 1, 2, 3
    seldom  any, \i
    .endr
1:  neuron_any 2, r18
    neuron_any 3, r19
    neuron_any 4, r8
    neuron_any 5, r9
    rjmp    2f
    .irp    i, 4, 5, 6, 7
    seldom  any, \i
    .endr
2:  neuron_any 6, r10
    neuron_any 7, r11
    rjmp    end_eight

many:
    exchange r16, r8, 4, 0xF0
    exchange r17, r9, 4, 0xF0
    exchange r18, r10, 4, 0xF0
    exchange r19, r11, 4, 0xF0
    transpose r16, r17, r18, r19
    transpose r8, r9, r10, r11
    rjmp    any
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 17
