#include "ec_rig.h"

/* No plant on the device's side: the host reads the outputs and drives its own. */

void ec_rig_apply(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    (void)outputs;
    (void)n;
}

void ec_rig_safe(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    (void)outputs;
    (void)n;
}
