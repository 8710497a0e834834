/* void ec_list_rows(ec_list *list), of ec_list.h. */
#include "ec_asm.h"

#define spikes    Y
#define codes     Z
#define rows      X
#define border    r2 /* where the rows of inhibitory neurons begin */
#define most      r4 /* the last place from which it goes on */
#define of_eight  r6 /* bytes of eight rows */
#define bits      r16
#define flip      r17
#define row_bytes r18
#define left      r19
#define n_exc     r20 /* that are not yet listed; the T flag is set when there are none */
#define place     r22
#define other     r23
#define left_bits r21 /* of a byte where both kinds are: n_exc is done then */

    .macro if_bit i
    sbrc    bits, \i
    rcall   spike\i
    .endm

    .macro spike i
spike\i:
    ldd     other, codes + \i
    ldi     place, \i
    rjmp    list_one
    .endm

    .section .text.ec_list_rows, "ax", @progbits
    .global ec_list_rows
    .type ec_list_rows, @function
ec_list_rows:
    .irp    r, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16, r17, r28, r29
    push    \r
    .endr
    push    r24
    push    r25
    movw    r30, r24
    ldd     r28, Z + 0
    ldd     r29, Z + 1
    ldd     r24, Z + 2
    ldd     r25, Z + 3
    ldd     r26, Z + 4
    ldd     r27, Z + 5
    ldd     n_exc, Z + 6
    ldd     r21, Z + 7
    ldd     row_bytes, Z + 8
    ldd     flip, Z + 9
    movw    r30, r24
    ldi     place, 8
    mul     row_bytes, place
    movw    of_eight, r0
    movw    most, r26               /* two bytes for each of half the neurons */
    add     r4, r0
    adc     r5, r1
    clr     r1
    clr     r24
    clr     r25
    .irp    r, r8, r9, r10, r11, r12, r13, r14, r15
    clr     \r
    .endr
    clt
    mov     left, row_bytes

next_eight:
    ld      bits, spikes+
    eor     bits, flip
    brts    alike
    subi    n_exc, 8
    sbci    r21, 0
    brcc    alike
    subi    n_exc, -8               /* 0 ... 7 excitatory ones */
    clr     place
1:  subi    n_exc, 1
    brcs    2f
    sec
    rol     place
    rjmp    1b
2:  mov     left_bits, bits
    and     bits, place
    com     place
    and     left_bits, place
    rcall   list_eight
    movw    border, r26
    set
    mov     bits, left_bits
alike:
    tst     bits
    breq    none
    rcall   list_eight
none:
    add     r24, r6
    adc     r25, r7
    adiw    r30, 8
    cp      r4, r26
    cpc     r5, r27
    brlo    done
    dec     left
    brne    next_eight

done:
    brts    3f
    movw    border, r26
3:  pop     r31
    pop     r30
    std     Z + 10, r26
    std     Z + 11, r27
    std     Z + 12, r2
    std     Z + 13, r3
    std     Z + 14, r8
    std     Z + 15, r9
    std     Z + 16, r10
    std     Z + 17, r11
    std     Z + 18, r12
    std     Z + 19, r13
    std     Z + 20, r14
    std     Z + 21, r15
    .irp    r, r29, r28, r17, r16, r15, r14, r13, r12, r11, r10, r9, r8, r7, r6, r5, r4, r3, r2
    pop     \r
    .endr
    ret

list_eight:
    .irp    i, 0, 1, 2, 3, 4, 5, 6, 7
    if_bit  \i
    .endr
    ret

    .irp    i, 0, 1, 2, 3, 4, 5, 6, 7
    spike   \i
    .endr
list_one:
    mul     row_bytes, place
    add     r0, r24
    adc     r1, r25
    st      rows+, r0
    st      rows+, r1
    clr     r1
    brts    inhibits
    .irp    r, r8, r9, r10, r11, r12, r13, r14, r15
    lsr     other
    adc     \r, r1
    .endr
    ret
inhibits:
    .irp    r, r8, r9, r10, r11, r12, r13, r14, r15
    lsr     other
    sbc     \r, r1
    .endr
    ret
    .size ec_list_rows, . - ec_list_rows
    stack_size ec_list_rows, 29
