/* The neurons, 32 at a time in planes: a current, a membrane potential or a drive is 8 words, a bit
 * of all 32 in each. Here with any shifts and gain. */
#include "ec_planes.h"

uint32_t ec_update_group(ec_group *group, const ec_spec *spec)
{
    return ec_update_planes(group, spec->current_shift, spec->membrane_shift, spec->recurrent_gain);
}

void ec_lanes_put(uint32_t *lanes, unsigned i, int8_t value)
{
    uint32_t bit = (uint32_t)1 << i;
    for (unsigned b = 0; b < 8; b++)
        lanes[b] = (lanes[b] & ~bit) | (ec_plane_of(value, b) & bit);
}

int8_t ec_lanes_get(const uint32_t *lanes, unsigned i)
{
    unsigned value = 0;
    for (unsigned b = 0; b < 8; b++)
        value |= (unsigned)((lanes[b] >> i) & 1u) << b;
    return (int8_t)((int)(value ^ 0x80u) - 0x80);
}

void ec_lanes_put_drive(uint32_t *lanes, const uint32_t *plane)
{
    EACH_BIT(b) lanes[b] = plane[b];
}
