/* For assembly: sums of rows in bit planes. */
#ifndef EC_ADDERS_H
#define EC_ADDERS_H

/* Two full adders one after the other in 8 gates, for bits that come as one of two and their difference:
 * Kojevnikov, Kulikov, Yaroslavtsev: Finding Efficient Circuits Using SAT-solvers (2009). */

/* sum + two bits, x and their difference; what the carry differs from sum is left in x. */
    .macro add_first sum, x, difference
    eor     \x, \x, \sum
    orr     \x, \x, \difference
    eor     \sum, \sum, \difference
    .endm

/* Two more. The second carry is left in x, what both carries differ in `carry`. */
    .macro add_second sum, carry, x, difference
    eor     \x, \x, \sum
    bic     \x, \x, \difference
    eor     \carry, \carry, \x
    eor     \x, \x, \sum
    eor     \sum, \sum, \difference
    .endm

/* The last two; the carry is left in x. */
    .macro add_last sum, x, difference
    eor     \x, \x, \sum
    bic     \x, \x, \difference
    eor     \x, \x, \sum
    eor     \sum, \sum, \difference
    .endm

/* Four rows into the lowest plane, r4. One carry is left in c, what it differs from the other in a. */
    .macro add_four a, b, c, d
    eor     \b, \b, \a
    add_first r4, \a, \b
    eor     \d, \d, \c
    add_second r4, \a, \c, \d
    .endm

/* The words of this column, which r1 points to, in rows whose places were read from the list. */
    .macro load a:vararg
    .irp r, \a
    ldr     \r, [r1, \r]
    .endr
    .endm

#endif
