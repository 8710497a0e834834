/* void ec_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
 *                 unsigned words, const uint32_t *start)
 *
 * Eight neurons at a time, whose six planes stay in registers; four rows take three full adders and
 * a carry that goes on. The words of `start` are the same in all bytes, as ec_columns.c makes them.
 */
#include "ec_asm.h"

#define SUM   96 /* offsets in an ec_group */
#define GROUP 128

#define rows    r24 /* X at its beginning, and their number */
#define n_rows  r18
#define left    r16 /* bytes of planes */
#define left_hi r17
#define column  r22 /* where the byte lies in the first row */
#define start   r14
#define count   r19
#define a       r20
#define b       r21
#define c       r0
#define d       r1
#define t       r13
#define p0      r2
#define p1      r3
#define p2      r4
#define p3      r5
#define p4      r6
#define p5      r7

    .macro next_row to
    ld      r30, X+
    ld      r31, X+
    add     r30, r22
    adc     r31, r23
    ld      \to, Z
    .endm

/* plane + x + y; what carries is left in `carry`. */
    .macro full_add plane, x, y, carry
    eor     \x, \plane
    eor     \y, \plane
    mov     \carry, \x
    and     \carry, \y
    eor     \x, \y
    eor     \carry, \plane
    eor     \plane, \x
    .endm

    .macro half_add plane, x, carry
    mov     \carry, \plane
    and     \carry, \x
    eor     \plane, \x
    .endm

    .section .text.ec_add_few, "ax", @progbits
    .global ec_add_few
    .type ec_add_few, @function
ec_add_few:
    .irp    r, r2, r3, r4, r5, r6, r7, r13, r14, r15, r16, r17, r28, r29
    push    \r
    .endr
    movw    r28, r24                /* Y: the sums' byte */
    subi    r28, lo8(-SUM)
    sbci    r29, hi8(-SUM)
    movw    r24, r20
    lsl     left
    rol     left_hi
    lsl     left
    rol     left_hi

next_eight:
    movw    r30, start
    ldd     p0, Z + 0
    ldd     p1, Z + 4
    ldd     p2, Z + 8
    ldd     p3, Z + 12
    ldd     p4, Z + 16
    ldd     p5, Z + 20
    movw    r26, rows
    mov     count, n_rows
    subi    count, 4
    brcs    less_than_four
four:
    next_row a
    next_row b
    full_add p0, a, b, c
    next_row a
    next_row b
    full_add p0, a, b, d
    full_add p1, c, d, t
    half_add p2, t, a
    half_add p3, a, b
    half_add p4, b, a
    eor     p5, a
    subi    count, 4
    brcc    four
less_than_four:
    sbrs    count, 1                /* of count - 4 the lower bits are those of count */
    rjmp    less_than_two
    next_row a
    next_row b
    full_add p0, a, b, t
    half_add p1, t, a
    half_add p2, a, b
    half_add p3, b, a
    half_add p4, a, b
    eor     p5, b
less_than_two:
    sbrs    count, 0
    rjmp    no_more
    next_row a
    half_add p0, a, b
    half_add p1, b, a
    half_add p2, a, b
    half_add p3, b, a
    half_add p4, a, b
    eor     p5, b
no_more:
    std     Y + 0, p0
    std     Y + 4, p1
    std     Y + 8, p2
    std     Y + 12, p3
    std     Y + 16, p4
    std     Y + 20, p5
    std     Y + 24, p5
    std     Y + 28, p5
    adiw    r28, 1
    subi    r22, lo8(-1)
    sbci    r23, hi8(-1)

    subi    left, 1
    sbci    left_hi, 0
    breq    done
    mov     a, left                 /* a multiple of four: the next group */
    andi    a, 3
    breq    skip
    rjmp    next_eight
skip:
    subi    r28, lo8(-(GROUP - 4))
    sbci    r29, hi8(-(GROUP - 4))
    rjmp    next_eight
done:
    clr     r1                      /* which compiled code takes for a zero */
    .irp    r, r29, r28, r17, r16, r15, r14, r13, r7, r6, r5, r4, r3, r2
    pop     \r
    .endr
    ret
    .size ec_add_few, . - ec_add_few
    stack_size ec_add_few, 16
