/* void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
 *
 * The substep of ec_update.c, eight neurons at a time, whose sums come out of their planes by a
 * transposition of 8 by 8 bits. About 43 cycles a neuron.
 */
#include "ec_asm.h"
#include "ec_fast.h"

#define CURRENT  0 /* offsets in an ec_group, of a byte for each neuron */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define V_TH 64

#define state    r18
#define part     r19
#define left     r20 /* bytes of spikes */
#define left_hi  r21
#define voltage  r22
#define fired    r23

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

/* After an overflow, what the sum should be: 127 or -128. */
    .macro saturate x
    brvc    8f
    lsl     \x
    sbc     \x, \x
    subi    \x, 0x80
8:
    .endm

/* Neuron i of the eight; its sum. Y: current, Z: drive. */
    .macro neuron i, sum
    .rept   -EC_FAST_RECURRENT_GAIN
    asr     \sum
    .endr
    ldd     state, Y + CURRENT + \i
    mov     part, state
    .rept   EC_FAST_CURRENT_SHIFT
    asr     part
    .endr
    sub     state, part
    add     state, \sum
    saturate state
    std     Y + CURRENT + \i, state
    ldd     part, Z + \i
    add     part, state
    saturate part
    ldd     voltage, Y + MEMBRANE + \i
    mov     state, voltage
    .rept   EC_FAST_MEMBRANE_SHIFT
    asr     state
    .endr
    sub     voltage, state
    add     voltage, part
    brvs    3f
    cpi     voltage, V_TH
    brlt    4f
2:  ori     fired, 1 << \i
    clr     voltage
    rjmp    4f
3:  brmi    2b                      /* beyond 127 */
    ldi     voltage, 0x80
4:  std     Y + MEMBRANE + \i, voltage
    .endm

    .section .text.ec_update_fast, "ax", @progbits
    .global ec_update_fast
    .type ec_update_fast, @function
ec_update_fast:
    .irp    r, r10, r11, r12, r13, r14, r15, r16, r17, r28, r29
    push    \r
    .endr
    movw    r28, r24                /* Y: current of the next eight */
    movw    r26, r22                /* X: spikes */
    lsl     left
    rol     left_hi
    lsl     left
    rol     left_hi

next_group:
    movw    r24, r28                /* sums of the next eight */
    subi    r24, lo8(-SUM)
    sbci    r25, hi8(-SUM)

next_eight:
    movw    r30, r24
    adiw    r24, 1
    ldd     r10, Z + 0
    ldd     r11, Z + 4
    ldd     r12, Z + 8
    ldd     r13, Z + 12
    ldd     r14, Z + 16
    ldd     r15, Z + 20
    ldd     r16, Z + 24
    ldd     r17, Z + 28
    exchange r10, r14, 4, 0xF0
    exchange r11, r15, 4, 0xF0
    exchange r12, r16, 4, 0xF0
    exchange r13, r17, 4, 0xF0
    exchange r10, r12, 2, 0xCC
    exchange r11, r13, 2, 0xCC
    exchange r14, r16, 2, 0xCC
    exchange r15, r17, 2, 0xCC
    exchange r10, r11, 1, 0xAA
    exchange r12, r13, 1, 0xAA
    exchange r14, r15, 1, 0xAA
    exchange r16, r17, 1, 0xAA

    movw    r30, r28
    subi    r30, lo8(-DRIVE)
    sbci    r31, hi8(-DRIVE)
    clr     fired
    neuron  0, r10
    neuron  1, r11
    neuron  2, r12
    neuron  3, r13
    neuron  4, r14
    neuron  5, r15
    neuron  6, r16
    neuron  7, r17
    st      X+, fired
    adiw    r28, 8

    subi    left, 1
    sbci    left_hi, 0
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
    .irp    r, r29, r28, r17, r16, r15, r14, r13, r12, r11, r10
    pop     \r
    .endr
    ret
    .size ec_update_fast, . - ec_update_fast
    stack_size ec_update_fast, 13
