/* The parts of a control step. The core's files hold them in portable C; a folder of
 * firmware/kernels replaces some, whole files by their names, for the chips that it knows.
 *
 *   ec_drive.c     raw counts ──> x, once a control step
 *   ec_columns.c   rows of the neurons that spiked ──> S; ec_add_few.c for few rows
 *   ec_update.c    S, x, current, membrane ──> current, membrane, spikes; ec_update_fast.c the same
 *   ec_readout.c   spikes ──> outputs, and the rows for the next substep, which ec_list.c lists
 *
 * Numbers of many neurons lie in planes: bit i of plane b is bit b of the number of neuron i of 32,
 * in two's complement. ec_update.c chooses how 32 int8 lie in 8 words; others ask for one or bring
 * planes.
 */
#ifndef EC_KERNEL_H
#define EC_KERNEL_H

#include "ec_fast.h"
#include "ec_net.h"
#include "ec_step_few.h"

#if defined(__clang__)
#define EC_UNROLL _Pragma("unroll")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define EC_UNROLL _Pragma("GCC unroll 32")
#else
#define EC_UNROLL
#endif

/* Code that is meant to be compiled in again where its arguments are constants. */
#if defined(__GNUC__)
#define EC_INLINE static inline __attribute__((always_inline))
#else
#define EC_INLINE static inline
#endif

/* x of docs/MODEL.md into every group's drive. */
void ec_drive(ec_net *net, const int16_t *raw);

/* S of all neurons from net->rows, saturated to int8, in planes. */
void ec_columns(ec_net *net);

/* Adds 0 ... EC_FEW rows, which lie at the byte offsets `row` from the first word's `column` on, to
 * the planes of `start`; all words. sum gets 8 planes. */
#define EC_FEW        31u
#define EC_FEW_PLANES 6u
void ec_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
                unsigned words, const uint32_t *start);

static inline bool ec_sums_few(const ec_net *net)
{
    return !net->silent && net->n_rows <= EC_FEW;
}

/* Current and membrane of 32 neurons from their sum and drive. Returns the spikes. */
uint32_t ec_update_group(ec_group *group, const ec_spec *spec);

/* The same of many groups with the shifts and the gain of ec_fast.h, and the spikes of each. */
void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words);

/* ec_columns and ec_update_fast in one pass, of few rows in the excitatory/inhibitory form. Only where
 * EC_HAS_STEP_FEW. */
void ec_step_few(ec_net *net);

/* Outputs from the new spikes, and net->rows for the next substep. */
void ec_readout(ec_net *net);

/* Once for a policy, before the first of the above: what does not change with the state. */
void ec_columns_prepare(ec_net *net);
void ec_readout_prepare(ec_net *net);

/* A current or a membrane potential of neuron i of 32, and the drive of all from its planes. */
void ec_lanes_put(uint32_t *lanes, unsigned i, int8_t value);
int8_t ec_lanes_get(const uint32_t *lanes, unsigned i);
void ec_lanes_put_drive(uint32_t *lanes, const uint32_t *plane);

/* sum + a + b for 32 numbers of one bit; what carries is returned. */
EC_INLINE uint32_t ec_full_add(uint32_t *sum, uint32_t a, uint32_t b)
{
    uint32_t half = *sum ^ a;
    uint32_t carry = (*sum & a) | (half & b);
    *sum = half ^ b;
    return carry;
}

/* Adds a row of weight 2^base. */
static inline void ec_planes_add(uint32_t *plane, unsigned base, unsigned planes, uint32_t row)
{
    for (unsigned b = base; b < planes && row; b++) {
        uint32_t carry = plane[b] & row;
        plane[b] ^= row;
        row = carry;
    }
}

/* Bit b of a number for all 32. */
static inline uint32_t ec_plane_of(int32_t value, unsigned b)
{
    return 0u - (((uint32_t)value >> b) & 1u);
}

/* Saturates to the int8 range: planes 0 ... 7 hold the result, whatever their number was. */
static inline void ec_planes_saturate(uint32_t *plane, unsigned planes)
{
    uint32_t sign = plane[planes - 1];
    uint32_t over = 0;
    for (unsigned b = 7; b + 1 < planes; b++)
        over |= plane[b] ^ sign;
    for (unsigned b = 0; b < 7; b++) {
        uint32_t bit = b < planes ? plane[b] : sign;
        plane[b] = (bit & ~over) | (over & ~sign);
    }
    plane[7] = sign;
}

#endif
