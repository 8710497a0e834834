/* The neurons one by one, for AVR: 32 int8 lie as 32 bytes. Here with any shifts and gain. */
#include "ec_kernel.h"

/* Takes neuron after neuron, from the lowest bit on, from a byte of each plane. */
EC_INLINE int8_t next_of(uint8_t *planes)
{
    uint8_t value = 0;
    for (uint8_t b = 8; b-- > 0;) {
        value = (uint8_t)(value << 1 | (planes[b] & 1));
        planes[b] >>= 1;
    }
    return (int8_t)value;
}

EC_INLINE void take_byte(uint8_t *planes, const uint32_t *words, unsigned byte)
{
    for (uint8_t b = 0; b < 8; b++)
        planes[b] = ((const uint8_t *)(words + b))[byte];
}

static int8_t saturate(int16_t x)
{
    return (int8_t)(x < -128 ? -128 : x > 127 ? 127 : x);
}

static int8_t shift_down(int8_t x, uint8_t k)
{
    return (int8_t)(x < 0 ? ~((uint8_t)~x >> k) : x >> k);
}

static int8_t decay(int8_t x, uint8_t k)
{
    return (int8_t)(x - shift_down(x, k));
}

/* sat8(x 2^g) for g >= 0, x >> -g for g < 0. */
static int8_t scale(int8_t x, int8_t gain)
{
    if (gain < 0)
        return shift_down(x, (uint8_t)-gain);
    for (; gain > 0; gain--)
        x = saturate((int16_t)(2 * x));
    return x;
}

uint32_t ec_update_group(ec_group *group, const ec_spec *spec)
{
    int8_t *current = (int8_t *)group->current;
    int8_t *membrane = (int8_t *)group->membrane;
    const int8_t *drive = (const int8_t *)group->drive;
    uint32_t spikes = 0;
    for (unsigned byte = 0; byte < 4; byte++) {
        uint8_t planes[8];
        uint8_t fired = 0;
        take_byte(planes, group->sum, byte);
        for (uint8_t bit = 1; bit; bit = (uint8_t)(bit << 1)) {
            int8_t input = scale(next_of(planes), spec->recurrent_gain);
            *current = saturate((int16_t)(decay(*current, spec->current_shift) + input));
            input = saturate((int16_t)(*current++ + *drive++));
            int16_t v = (int16_t)(decay(*membrane, spec->membrane_shift) + input);
            if (v >= EC_V_TH) {
                fired |= bit;
                v = 0;
            }
            *membrane++ = saturate(v);
        }
        ((uint8_t *)&spikes)[byte] = fired;
    }
    return spikes;
}

void ec_lanes_put(uint32_t *lanes, unsigned i, int8_t value)
{
    ((int8_t *)lanes)[i] = value;
}

int8_t ec_lanes_get(const uint32_t *lanes, unsigned i)
{
    return ((const int8_t *)lanes)[i];
}
