/* The input layer for AVR: x_j = Σ q_i (W_in[i][j] - W_in[n_obs + i][j]), eight neurons at a time in
 * 16 bits. */
#include "ec_config.h"
#include "ec_kernel.h"

#if EC_MAX_OBS > 256
#error "EC_MAX_OBS is above 256: 16 bits do not hold the sum of so many observations"
#endif

static int16_t shift_down(int16_t x, uint8_t k)
{
    return (int16_t)(x < 0 ? ~(~x >> k) : x >> k);
}

static int8_t quantise(const ec_channel *channel, int16_t raw)
{
    int32_t distance = (int32_t)raw - channel->offset;
    int32_t half = (int32_t)(((uint32_t)1 << channel->shift) >> 1);
    int32_t q = ec_asr(distance * channel->multiplier + half, channel->shift);
    return (int8_t)ec_clamp(q, -127, 127);
}

/* Of the neurons whose synapses from the observation and from its negative differ. */
static void add_observation(int16_t *x, int8_t q, uint8_t positive, uint8_t negative)
{
    uint8_t differ = positive ^ negative;
    for (; differ; differ >>= 1, positive >>= 1, x++) {
        if (differ & 1)
            *x = (int16_t)(positive & 1 ? *x + q : *x - q);
    }
}

void ec_drive(ec_net *net, const int16_t *raw)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned bytes = spec->n_neurons / 8u;
    int16_t half = (int16_t)((1 << spec->input_shift) >> 1);
    for (unsigned i = 0; i < spec->n_obs; i++)
        net->input[i] = quantise(&policy->map[i], raw[i]);
    for (unsigned byte = 0; byte < bytes; byte++) {
        int16_t x[8];
        for (uint8_t k = 0; k < 8; k++)
            x[k] = half;
        const uint8_t *positive = (const uint8_t *)policy->w_in + byte;
        const uint8_t *negative = positive + spec->n_obs * bytes;
        for (unsigned i = 0; i < spec->n_obs; i++, positive += bytes, negative += bytes) {
            if (net->input[i])
                add_observation(x, net->input[i], *positive, *negative);
        }
        int8_t *drive = (int8_t *)net->groups[byte / 4u].drive + 8u * (byte % 4u);
        for (uint8_t k = 0; k < 8; k++) {
            int16_t rounded = shift_down(x[k], spec->input_shift);
            *drive++ = (int8_t)(rounded < -127 ? -127 : rounded > 127 ? 127 : rounded);
        }
    }
}
