/* What ec_columns.c asks of assembly. */
#ifndef EC_SUM_H
#define EC_SUM_H

#include "ec_kernel.h"

/* Adds at most EC_FEW rows, which lie at the byte offsets `row` from the first word's `column` on, to
 * `start`, which is -n_rows ... 0; all words. sum gets 8 planes. */
void ec_sum_few(ec_group *groups, const uint32_t *column, const unsigned *row, uint8_t n_rows,
                uint8_t words, int8_t start);

#endif
