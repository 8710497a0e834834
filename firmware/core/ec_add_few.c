/* The sums of few rows, in the six planes that hold them whether the rows excite or inhibit. */
#include "ec_kernel.h"

void ec_add_few(ec_group *groups, const uint32_t *column, const uint32_t *row, unsigned n_rows,
                unsigned words, const uint32_t *start)
{
    for (; words; words--, column++, groups++) {
        uint32_t plane[EC_FEW_PLANES];
        EC_UNROLL for (unsigned b = 0; b < EC_FEW_PLANES; b++) plane[b] = start[b];
        ec_add_rows(plane, EC_FEW_PLANES, column, row, n_rows);
        EC_UNROLL for (unsigned b = 0; b < 8; b++)
            groups->sum[b] = plane[b < EC_FEW_PLANES ? b : EC_FEW_PLANES - 1];
    }
}
