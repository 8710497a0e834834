/* For assembly: a substep of 32 neurons in byte lanes, as ec_update.c lays them out.
 *
 * ec_lanes_step takes the group in r0, its sums in r4 ... r11, `most` and `spike`, and keeps these two.
 * It leaves r0 behind the group's currents and the bits of neurons that did not spike in r1.
 */
#ifndef EC_LANES_H
#define EC_LANES_H

#define CURRENT  0 /* offsets in an ec_group */
#define MEMBRANE 32
#define DRIVE    64
#define SUM      96
#define GROUP    128

#define silent r1
#define most   r2 /* ~64 in each byte: more than the complement of what spikes, */
#define spike  r12 /* ~1 */

/* Exchanges the bits of `mask` in `high` with those that are k higher in `low`. */
    .macro exchange low, high, k, mask
    eor     r3, \high, \low, lsr #\k
    and     r3, r3, #\mask
    eor     \high, \high, r3
    eor     \low, \low, r3, lsl #\k
    .endm

#endif
