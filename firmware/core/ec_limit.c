#include "ec_limit.h"

bool ec_limit_narrow(ec_limit *limit, const uint8_t *wire)
{
    int16_t low = (int16_t)ec_signed16(ec_get16(wire));
    int16_t high = (int16_t)ec_signed16(ec_get16(wire + 2));
    uint16_t slew = ec_get16(wire + 4);
    if (low > limit->low)
        limit->low = low;
    if (high < limit->high)
        limit->high = high;
    if (slew < limit->slew)
        limit->slew = slew;
    return limit->low <= limit->high;
}

void ec_limit_put(const ec_limit *limit, uint8_t *wire)
{
    ec_put16(wire, (uint16_t)limit->low);
    ec_put16(wire + 2, (uint16_t)limit->high);
    ec_put16(wire + 4, limit->slew);
}

int16_t ec_limit_output(const ec_limit *limit, int16_t output, int16_t before)
{
    int32_t inside = ec_clamp(output, limit->low, limit->high);
    return (int16_t)ec_clamp(inside, (int32_t)before - limit->slew, (int32_t)before + limit->slew);
}
