/* void ec_filter(int16_t *output, const int8_t *counts, uint8_t n, uint8_t shift, int16_t weight)
 *
 * output = sat16(output - (output >> shift) + count weight), of n outputs; shift is 1 ... 7, weight
 * 4096 at most: 24 bits hold the sum.
 */
#include "ec_asm.h"

#define count  r21
#define n      r20
#define top    r19
#define shift  r18
#define weight r16 /* and r17 */

    .section .text.ec_filter, "ax", @progbits
    .global ec_filter
    .type ec_filter, @function
ec_filter:
    push    r16
    push    r17
    movw    r30, r24                /* Z: output */
    movw    r26, r22                /* X: counts */
next:
    ld      r24, Z
    ldd     r25, Z + 1
    movw    r22, r24
    mov     top, shift
1:  asr     r23
    ror     r22
    dec     top
    brne    1b
    sub     r24, r22
    sbc     r25, r23

    ld      count, X+               /* top, r23, r22 = count weight */
    mulsu   count, r16
    movw    r22, r0
    mov     top, r23
    lsl     top
    sbc     top, top
    mulsu   count, r17
    add     r23, r0
    adc     top, r1

    mov     r0, r25
    lsl     r0
    sbc     r0, r0
    add     r22, r24
    adc     r23, r25
    adc     top, r0

    mov     r0, r23
    lsl     r0
    sbc     r0, r0                  /* what top is if 16 bits hold it */
    cp      top, r0
    breq    fits
    lsl     top                     /* 32767, or -32768 */
    sbc     r23, r23
    mov     r22, r23
    com     r22
    subi    r23, 0x81               /* 0x00 becomes 0x7F */
    sbrs    r22, 0
    ldi     r23, 0x80
fits:
    st      Z+, r22
    st      Z+, r23
    dec     n
    brne    next
    clr     r1                      /* which compiled code takes for a zero */
    pop     r17
    pop     r16
    ret
    .size ec_filter, . - ec_filter
    stack_size ec_filter, 5
