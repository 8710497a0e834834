/* For assembly: ec_add_pair sums the rows of two words. It takes what the frame below tells and `column`,
 * and leaves the planes of the first word in a0 ... a5, of the second in s0 ... s5. It keeps only
 * s8 ... s10.
 */
#ifndef EC_ADD_PAIR_H
#define EC_ADD_PAIR_H

#define column s9 /* the first of the two words, in the first row */

/* The frame: s0 ... s11, ra, and: */
#define LINK     48
#define ROWS     52 /* the list, */
#define ROWS_END 56 /* of those that come in eights; */
#define REST     60 /* n_rows, of which the lowest three bits matter */
#define START    64 /* what the planes begin with */

    .macro save_registers
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sw      s\r, 4 * \r(sp)
    .endr
    sw      ra, LINK(sp)
    .endm

    .macro restore_registers
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    lw      s\r, 4 * \r(sp)
    .endr
    lw      ra, LINK(sp)
    .endm

/* Stores the list of n rows in the frame. */
    .macro keep_rows list, n
    sw      \list, ROWS(sp)
    sw      \n, REST(sp)
    andi    t0, \n, -8
    slli    t0, t0, 2
    add     t0, t0, \list
    sw      t0, ROWS_END(sp)
    .endm

#endif
