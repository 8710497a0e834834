/* unsigned *ec_list_rows(ec_list *list, const uint8_t *spikes, const uint8_t *codes, unsigned *rows,
 *                        unsigned n_exc, uint8_t row_bytes, uint8_t flip, uint8_t n_act), of ec_list.h.
 *
 * Where the inhibitory neurons begin all counts change their signs, and once more at the end.
 */
#include "ec_asm.h"

#define spikes     Y
#define codes      Z
#define rows       X
#define zero       r2
#define inhibiting r3 /* bytes in which neurons inhibit */
#define most       r4 /* the last place from which it goes on; and r5 */
#define of_eight   r6 /* bytes of eight rows; and r7 */
#define chosen     r16 /* of the byte where both kinds are: those of one kind */
#define code       r17
#define row_bytes  r18
#define flip       r19
#define bits       r20
#define left       r21
#define border     r22 /* where the rows of inhibitory neurons begin; and r23 */
#define row        24 /* of the first of the eight; and r25 */

/* Lists neuron i of the eight, and counts it for the outputs that it leads to. */
    .macro list_one i
    sbrs    bits, \i
    rjmp    1f
    ldi     code, \i
    mul     code, row_bytes
    ldd     code, codes + \i
    add     r0, row
    adc     r1, row + 1
    st      rows+, r0
    st      rows+, r1
    .irp    r, r8, r9, r10, r11
    lsr     code
    adc     \r, zero
    .endr
    brtc    1f
    rcall   count_more
1:
    .endm

    .macro next_eight
    add     row, r6
    adc     row + 1, r7
    adiw    r30, 8
    .endm

    .macro negate_counts
    .irp    r, r8, r9, r10, r11, r12, r13, r14, r15
    neg     \r
    .endr
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
    movw    r28, r22
    movw    r30, r20
    movw    r26, r18
    clr     zero
    clt
    ldi     left, 4
    cp      left, r10
    brcc    1f
    set                             /* more than four outputs */
1:  mov     flip, r12
    mov     row_bytes, r14

    mov     left, r16               /* n_exc / 8 bytes excite, and n_exc % 8 bits */
    .rept   3
    lsr     r17
    ror     r16
    .endr
    mov     r22, r16
    mov     inhibiting, row_bytes
    sub     inhibiting, r16
    ldi     chosen, 1
    sbrc    left, 0
    lsl     chosen
    sbrc    left, 1
    lsl     chosen
    sbrc    left, 1
    lsl     chosen
    sbrc    left, 2
    swap    chosen
    dec     chosen
    mov     left, r22

    ldi     code, 8
    mul     row_bytes, code
    movw    of_eight, r0
    movw    most, r26               /* two bytes for each of half the neurons */
    add     r4, r0
    adc     r5, r1
    clr     r24
    clr     r25
    movw    r8, r24
    movw    r10, r24
    movw    r12, r24
    movw    r14, r24

    tst     left
    breq    2f
1:  ld      bits, spikes+
    eor     bits, flip
    breq    3f
    rcall   list_eight
3:  next_eight
    dec     left
    brne    1b

2:  ld      bits, spikes            /* if none inhibit, what lies behind; none of it is chosen */
    eor     bits, flip
    and     bits, chosen
    breq    1f
    rcall   list_eight
1:  movw    border, r26
    negate_counts
    com     chosen
    mov     left, inhibiting
    tst     left
    breq    3f
1:  ld      bits, spikes+
    eor     bits, flip
    and     bits, chosen
    breq    2f
    rcall   list_eight
2:  next_eight
    ldi     chosen, 0xFF
    dec     left
    brne    1b
3:  negate_counts

    pop     r31
    pop     r30
    std     Z + 0, r22
    std     Z + 1, r23
    .irp    i, 0, 1, 2, 3, 4, 5, 6, 7
    std     Z + 2 + \i, 8 + \i
    .endr
    movw    r24, r26
    clr     r1                      /* which compiled code takes for a zero */
    .irp    r, r29, r28, r17, r16, r15, r14, r13, r12, r11, r10, r9, r8, r7, r6, r5, r4, r3, r2
    pop     \r
    .endr
    ret

list_eight:
    .irp    i, 0, 1, 2, 3, 4, 5, 6, 7
    list_one \i
    .endr
    cp      r4, r26
    cpc     r5, r27
    brlo    full
    ret

full:                               /* no more of either kind */
    ldi     left, 1
    clr     inhibiting
    clr     chosen
    ret

count_more:
    .irp    r, r12, r13, r14, r15
    lsr     code
    adc     \r, zero
    .endr
    ret
    .size ec_list_rows, . - ec_list_rows
    stack_size ec_list_rows, 29
