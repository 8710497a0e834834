/* void ec_filter(int16_t *output, const int8_t *counts, uint8_t n, uint8_t shift, uint8_t gain)
 *
 * output = sat16(output - (output >> shift) + count 2^gain), of n outputs; shift is 1 ... 7, gain
 * 12 at most: 24 bits hold the sum. x >> shift is x 2^(8 - shift) less the lowest byte.
 */
#include "ec_asm.h"

#define weight r16 /* and r17 */
#define count  r18
#define factor r19
#define sign   r20
#define top    r21
#define low    r22
#define high   r23
#define n      r24
#define zero   r25

/* 2^(exponent % 8) */
    .macro power to, exponent
    ldi     \to, 1
    sbrc    \exponent, 0
    lsl     \to
    sbrc    \exponent, 1
    lsl     \to
    sbrc    \exponent, 1
    lsl     \to
    sbrc    \exponent, 2
    swap    \to
    .endm

/* 0xFF if x is negative, else 0. */
    .macro sign_of x, to
    mov     \to, \x
    lsl     \to
    sbc     \to, \to
    .endm

    .section .text.ec_filter, "ax", @progbits
    .global ec_filter
    .type ec_filter, @function
ec_filter:
    push    r16
    push    r17
    movw    r30, r24                /* Z: output */
    movw    r26, r22                /* X: counts */
    mov     n, r20
    clr     zero
    neg     r18
    power   factor, r18
    power   r17, r16
    sbrc    r16, 3
    rjmp    1f
    mov     r16, r17
    clr     r17
    rjmp    next
1:  clr     r16
next:
    ld      low, Z
    ldd     high, Z + 1
    ld      count, X+
    mulsu   high, factor
    movw    r20, r0
    mul     low, factor
    add     r20, r1
    adc     r21, zero
    sub     low, r20
    sbc     high, r21
    sign_of high, top
    mulsu   count, r16
    sign_of r1, sign
    add     low, r0
    adc     high, r1
    adc     top, sign
    mulsu   count, r17
    add     high, r0
    adc     top, r1

    sign_of high, sign              /* what top is if 16 bits hold it */
    cp      top, sign
    breq    fits
    lsl     top                     /* 32767, or -32768 */
    sbc     high, high
    mov     low, high
    com     low
    subi    high, 0x81              /* 0x00 becomes 0x7F */
    sbrs    low, 0
    ldi     high, 0x80
fits:
    st      Z+, low
    st      Z+, high
    dec     n
    brne    next
    clr     r1                      /* which compiled code takes for a zero */
    pop     r17
    pop     r16
    ret
    .size ec_filter, . - ec_filter
    stack_size ec_filter, 5
