/* The same with the shifts and the gain of ec_fast.h. */
#include "ec_planes.h"

void ec_update_fast(ec_group *groups, uint32_t *spikes, unsigned words)
{
    while (words--)
        *spikes++ = ec_update_planes(groups++, EC_FAST_CURRENT_SHIFT, EC_FAST_MEMBRANE_SHIFT,
                                     EC_FAST_RECURRENT_GAIN);
}
