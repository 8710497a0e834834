/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * The substep of ec_update.c, eight neurons at a time, whose sums come out of their planes by a
 * transposition: of 8 by 4 bits where planes 4 ... 7 are the sign, as they are when few spiked, else
 * of 8 by 8. x >> k is the upper byte of x 2^(8 - k). About 37 cycles a neuron.
 */
#include "ec_asm.h"
#include "ec_fast.h"

#define CURRENT  0 /* offsets in an ec_group, of a byte for each neuron */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define V_TH 64

#define lower    r6 /* 0x0F */
#define upper    r7 /* 0xF0 */
#define left     r16 /* bytes of spikes */
#define sign     r0 /* of the eight sums; products elsewhere */
#define state    r18
#define part     r19
#define voltage  r20
#define fired    r21
#define current_factor  r22
#define membrane_factor r23

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

/* Signed numbers of four bits each, whose lower bits lie in `low`: neurons i and i + 4. */
    .macro unpack i, low, high
    mov     \high, \low
    swap    \high
    and     \high, lower
    sbrc    sign, \i + 4
    or      \high, upper
    and     \low, lower
    sbrc    sign, \i
    or      \low, upper
    .endm

    .macro decay x, factor
    mulsu   \x, \factor
    sub     \x, r1
    .endm

/* Neuron i of the eight; its sum. Y: current, Z: drive. */
    .macro neuron i, sum
    .rept   -EC_FAST_RECURRENT_GAIN
    asr     \sum
    .endr
    ldd     state, Y + CURRENT + \i
    decay   state, current_factor
    add     state, \sum
    brvs    over_c\i
summed\i:
    std     Y + CURRENT + \i, state
    ldd     part, Z + \i
    add     part, state
    brvs    over_d\i
driven\i:
    ldd     voltage, Y + MEMBRANE + \i
    decay   voltage, membrane_factor
    add     voltage, part
    brvs    over_v\i
    cpi     voltage, V_TH
    brge    spike\i
stepped\i:
    std     Y + MEMBRANE + \i, voltage
    .endm

/* After an overflow, what the sum should be: 127 or -128. */
    .macro saturate x
    lsl     \x
    sbc     \x, \x
    subi    \x, 0x80
    .endm

/* What seldom happens to it, in reach of its branches. */
    .macro seldom i
over_c\i:
    saturate state
    rjmp    summed\i
over_d\i:
    saturate part
    rjmp    driven\i
over_v\i:
    brmi    spike\i                 /* beyond 127 */
    ldi     voltage, 0x80
    rjmp    stepped\i
spike\i:
    ori     fired, 1 << \i
    clr     voltage
    rjmp    stepped\i
    .endm

    .section .text.ec_update_fast, "ax", @progbits
    .global ec_update_fast
    .type ec_update_fast, @function
ec_update_fast:
    .irp    r, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16, r28, r29
    push    \r
    .endr
    movw    r28, r24                /* Y: current of the next eight */
    movw    r26, r22                /* X: spikes */
    mov     left, r20
    lsl     left
    lsl     left
    ldi     current_factor, 1 << (8 - EC_FAST_CURRENT_SHIFT)
    ldi     membrane_factor, 1 << (8 - EC_FAST_MEMBRANE_SHIFT)
    ldi     state, 0x0F
    mov     lower, state
    ldi     state, 0xF0
    mov     upper, state
    rjmp    next_group

to_many:                            /* in reach */
    rjmp    many

next_group:
    movw    r24, r28                /* sums of the next eight */
    subi    r24, lo8(-SUM)
    sbci    r25, hi8(-SUM)

next_eight:
    movw    r30, r24
    adiw    r24, 1
    ldd     r12, Z + 0
    ldd     r13, Z + 4
    ldd     r14, Z + 8
    ldd     r15, Z + 12
    ldd     r8, Z + 16
    ldd     r9, Z + 20
    ldd     r10, Z + 24
    ldd     r11, Z + 28
    cp      r9, r8
    cpc     r10, r8
    cpc     r11, r8
    brne    to_many
    mov     sign, r8
    exchange r12, r14, 2, 0xCC
    exchange r13, r15, 2, 0xCC
    exchange r12, r13, 1, 0xAA
    exchange r14, r15, 1, 0xAA
    unpack  0, r12, r8
    unpack  1, r13, r9
    unpack  2, r14, r10
    unpack  3, r15, r11
eight:
    movw    r30, r28
    subi    r30, lo8(-DRIVE)
    sbci    r31, hi8(-DRIVE)
    clr     fired
    neuron  0, r12
    neuron  1, r13
    rjmp    1f
    seldom  0
    seldom  1
    seldom  2
    seldom  3
1:  neuron  2, r14
    neuron  3, r15
    neuron  4, r8
    neuron  5, r9
    rjmp    2f
    seldom  4
    seldom  5
    seldom  6
    seldom  7
2:  neuron  6, r10
    neuron  7, r11
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
    .irp    r, r29, r28, r16, r15, r14, r13, r12, r11, r10, r9, r8, r7, r6
    pop     \r
    .endr
    ret

many:
    exchange r12, r8, 4, 0xF0
    exchange r13, r9, 4, 0xF0
    exchange r14, r10, 4, 0xF0
    exchange r15, r11, 4, 0xF0
    exchange r12, r14, 2, 0xCC
    exchange r13, r15, 2, 0xCC
    exchange r8, r10, 2, 0xCC
    exchange r9, r11, 2, 0xCC
    exchange r12, r13, 1, 0xAA
    exchange r14, r15, 1, 0xAA
    exchange r8, r9, 1, 0xAA
    exchange r10, r11, 1, 0xAA
    rjmp    eight
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 16
