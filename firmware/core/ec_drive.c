/* The input layer: x_j = Σ q_i (W_in[i][j] - W_in[n_obs + i][j]), rounded and clamped. */
#include "ec_kernel.h"

#define PLANES 18u /* holds -131072 ... 131071: the drive of 1024 observations */

/* A sum of many rows of many weights: a plane has its bits and at most one row that waits for
 * another, so that two rows at a time cost one full adder. */
typedef struct {
    uint32_t plane[PLANES];
    uint32_t waiting[PLANES];
    uint32_t waits; /* bit b: waiting[b] holds a row */
} accumulator;

static void add_row(accumulator *sum, unsigned b, uint32_t row)
{
    for (; (sum->waits >> b) & 1u; b++) {
        sum->waits ^= (uint32_t)1 << b;
        row = ec_full_add(&sum->plane[b], sum->waiting[b], row);
    }
    if (b < PLANES) {
        sum->waiting[b] = row;
        sum->waits |= (uint32_t)1 << b;
    }
}

static void add_waiting(accumulator *sum)
{
    uint32_t carry = 0;
    for (unsigned b = 0; b < PLANES; b++) {
        uint32_t waiting = (sum->waits >> b) & 1u ? sum->waiting[b] : 0;
        carry = ec_full_add(&sum->plane[b], waiting, carry);
    }
}

static int32_t round_shift(int32_t x, unsigned k)
{
    return ec_asr(x + (int32_t)(((uint32_t)1 << k) >> 1), k);
}

static int8_t quantise(const ec_channel *channel, int16_t raw)
{
    int32_t distance = (int32_t)raw - channel->offset;
    return (int8_t)ec_clamp(round_shift(distance * channel->multiplier, channel->shift), -127, 127);
}

/* |q| (u - v) = |q| (u + (1 - v)) - |q|, u and v the rows of the observation and of its negative. */
static void add_observation(accumulator *sum, int32_t q, uint32_t positive, uint32_t negative)
{
    uint32_t magnitude = (uint32_t)(q < 0 ? -q : q);
    uint32_t u = q < 0 ? negative : positive;
    uint32_t v = q < 0 ? positive : negative;
    uint32_t low = u ^ ~v;
    uint32_t high = u & ~v;
    for (unsigned b = 0; magnitude; b++, magnitude >>= 1) {
        if (magnitude & 1u) {
            add_row(sum, b, low);
            add_row(sum, b + 1, high);
        }
    }
}

/* int8 without -128. */
static void clamp_to_127(uint32_t *plane)
{
    uint32_t other = 0;
    for (unsigned b = 0; b < 7; b++)
        other |= plane[b];
    plane[0] |= plane[7] & ~other;
}

void ec_drive(ec_net *net, const int16_t *raw)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned words = spec->n_neurons / 32u;
    int32_t start = (int32_t)(((uint32_t)1 << spec->input_shift) >> 1);
    for (unsigned i = 0; i < spec->n_obs; i++) {
        int8_t q = quantise(&policy->map[i], raw[i]);
        net->input[i] = q;
        start -= q < 0 ? -q : q;
    }
    for (unsigned w = 0; w < words; w++) {
        accumulator sum;
        for (unsigned b = 0; b < PLANES; b++)
            sum.plane[b] = ec_plane_of(start, b);
        sum.waits = 0;
        const uint32_t *positive = policy->w_in + w;
        const uint32_t *negative = positive + (uint32_t)spec->n_obs * words;
        for (unsigned i = 0; i < spec->n_obs; i++)
            add_observation(&sum, net->input[i], positive[i * words], negative[i * words]);
        add_waiting(&sum);
        /* Room above for the saturation's eight planes: PLANES - 7 >= 8 holds. */
        uint32_t *shifted = sum.plane + spec->input_shift;
        ec_planes_saturate(shifted, PLANES - spec->input_shift);
        clamp_to_127(shifted);
        ec_lanes_put_drive(net->groups[w].drive, shifted);
    }
}
