/* void ec_sum_few(ec_group *groups, const uint32_t *column, const unsigned *row, uint8_t n_rows,
 *                 uint8_t words, int8_t start), of ec_sum.h.
 *
 * Pairs of rows through a full adder and half adders; the planes of 32 neurons, or of 16 where they
 * are many, stay in registers. Planes in two's complement: as many as `n_rows` asks for.
 */
#include "ec_asm.h"

#define SUM   96 /* offsets in an ec_group */
#define GROUP 128

#define a      0
#define b      1
#define c      22
#define count  r23
#define column 24 /* where the bytes lie in the first row */
#define rows   X
#define first  Y
#define second Z

#define SPL 0x3D
#define SPH 0x3E

/* On the stack, from its pointer on. */
#define LEFT   1 /* parts of the planes that are still to be done */
#define START  2
#define N_ROWS 3
#define ROWS   4
#define SUMS   6 /* of the part */
#define FRAME  7

/* The register of a byte of a plane; the last is r21. Arguments of macros have no spaces. */
#define PLANE(planes, plane, bytes, byte) 22+((plane)-(planes))*(bytes)+(byte)

    .macro next_row to, to_high
    ld      \to, rows+
    ld      \to_high, rows+
    add     \to, column
    adc     \to_high, column + 1
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

/* x carries into `plane` and those above. */
    .macro carry_on planes, bytes, plane, byte, x, y
    .if \plane < \planes - 1
    half_add PLANE(\planes,\plane,\bytes,\byte), \x, \y
    carry_on \planes, \bytes, \plane+1, \byte, \y, \x
    .else
    eor     PLANE(\planes,\plane,\bytes,\byte), \x
    .endif
    .endm

    .macro add_pair planes, bytes, byte
    ldd     a, first + \byte
    ldd     b, second + \byte
    full_add PLANE(\planes,0,\bytes,\byte), a, b, c
    carry_on \planes, \bytes, 1, \byte, c, a
    .endm

    .macro add_row planes, bytes, byte
    ldd     a, first + \byte
    carry_on \planes, \bytes, 0, \byte, a, b
    .endm

/* One plane of `start`, whose lowest bit is its own. */
    .macro begin planes, bytes, plane
    lsr     c
    sbc     PLANE(\planes,\plane,\bytes,0), PLANE(\planes,\plane,\bytes,0)
    mov     PLANE(\planes,\plane,\bytes,1), PLANE(\planes,\plane,\bytes,0)
    .if \bytes == 4
    movw    PLANE(\planes,\plane,\bytes,2), PLANE(\planes,\plane,\bytes,0)
    .endif
    .endm

    .macro put planes, bytes, plane
    .irp    byte, 0, 1, 2, 3
    .if \byte < \bytes
    .if \plane < \planes
    std     Y + 4 * \plane + \byte, PLANE(\planes,\plane,\bytes,\byte)
    .else
    std     Y + 4 * \plane + \byte, PLANE(\planes,\planes-1,\bytes,\byte)
    .endif
    .endif
    .endr
    .endm

/* All words, a part of so many bytes after the other. pushed: bytes since the frame. */
    .macro sum planes, bytes, pushed=0
1:  in      r30, SPL
    in      r31, SPH
    ldd     c, Z + \pushed + START
    ldd     count, Z + \pushed + N_ROWS
    ldd     r26, Z + \pushed + ROWS
    ldd     r27, Z + \pushed + ROWS + 1
    .irp    plane, 0, 1, 2, 3, 4, 5
    .if \plane < \planes
    begin   \planes, \bytes, \plane
    .endif
    .endr
    subi    count, 2
    brcc    2f
    rjmp    3f
2:  next_row r28, r29
    next_row r30, r31
    .irp    byte, 0, 1, 2, 3
    .if \byte < \bytes
    add_pair \planes, \bytes, \byte
    .endif
    .endr
    subi    count, 2
    brcs    3f
    rjmp    2b
3:  sbrs    count, 0                /* less 2 it is as odd */
    rjmp    4f
    next_row r28, r29
    .irp    byte, 0, 1, 2, 3
    .if \byte < \bytes
    add_row \planes, \bytes, \byte
    .endif
    .endr
4:  in      r30, SPL
    in      r31, SPH
    ldd     count, Z + \pushed + LEFT
    ldd     r28, Z + \pushed + SUMS
    ldd     r29, Z + \pushed + SUMS + 1
    .irp    plane, 0, 1, 2, 3, 4, 5, 6, 7
    put     \planes, \bytes, \plane
    .endr
    .if \bytes == 4
    subi    r28, lo8(-GROUP)
    sbci    r29, hi8(-GROUP)
    .else
    adiw    r28, 2
    sbrs    count, 0                /* half a word is left: the same group */
    rjmp    5f
    subi    r28, lo8(-(GROUP - 4))
    sbci    r29, hi8(-(GROUP - 4))
5:
    .endif
    std     Z + \pushed + SUMS, r28
    std     Z + \pushed + SUMS + 1, r29
    adiw    column, \bytes
    dec     count
    std     Z + \pushed + LEFT, count
    breq    6f
    rjmp    1b
6:
    .endm

    .section .text.ec_sum_few, "ax", @progbits
    .global ec_sum_few
    .type ec_sum_few, @function
ec_sum_few:
    .irp    r, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29
    push    \r
    .endr
    subi    r24, lo8(-SUM)
    sbci    r25, hi8(-SUM)
    push    r25
    push    r24
    push    r21
    push    r20
    push    r18
    push    r14
    movw    column, r22
    cpi     r18, 8
    brcc    1f
    rjmp    up_to_7
1:  cpi     r18, 16
    brcc    1f
    rjmp    up_to_15
1:
    lsl     r16
    push    r16
    sum     6, 2
    rjmp    done
up_to_15:
    push    r16
    .irp    r, 2, 3, 4, 5
    push    \r
    .endr
    sum     5, 4, 4
    .irp    r, 5, 4, 3, 2
    pop     \r
    .endr
    rjmp    done
up_to_7:
    push    r16
    sum     4, 4
done:
    .rept   FRAME
    pop     a
    .endr
    clr     r1                      /* which compiled code takes for a zero */
    .irp    r, 29, 28, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6
    pop     \r
    .endr
    ret
    .size ec_sum_few, . - ec_sum_few
    stack_size ec_sum_few, 18 + FRAME + 3
