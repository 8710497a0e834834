/* What the outputs that reach the plant are kept to: a range, and how far one may move in a step.
 * docs/LINK.md section 3.
 */
#ifndef EC_LIMIT_H
#define EC_LIMIT_H

#include "ec_base.h"

/* Of one output, in its units: 2048 is 1.0. low <= high. A slew of 65535 limits nothing. */
typedef struct {
    int16_t low;
    int16_t high;
    uint16_t slew; /* a step */
} ec_limit;

#define EC_LIMIT_SIZE 6u /* bytes on the wire: low, high, slew */
#define EC_LIMIT_NONE {INT16_MIN, INT16_MAX, UINT16_MAX}

/* Narrows a limit by one that came over the wire. False: no output keeps to both, low > high. */
bool ec_limit_narrow(ec_limit *limit, const uint8_t *wire);

void ec_limit_put(const ec_limit *limit, uint8_t *wire);

/* The nearest to `output` of those allowed, `before` being the one applied last. The slew holds even
 * where `before` is outside of the range: it leads back step by step. */
int16_t ec_limit_output(const ec_limit *limit, int16_t output, int16_t before);

#endif
