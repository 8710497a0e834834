/* The sums of few rows, in the six planes that hold them whether the rows excite or inhibit. */
#include "ec_kernel.h"

EC_INLINE uint32_t row_word(const uint32_t *column, unsigned offset)
{
    return *(const uint32_t *)(const void *)((const uint8_t *)column + offset);
}

/* Carries into the planes from b on. Without branches: most rows carry far. */
EC_INLINE void carry_on(uint32_t *plane, unsigned b, uint32_t carry)
{
    EC_UNROLL for (; b < EC_FEW_PLANES; b++)
    {
        uint32_t next = plane[b] & carry;
        plane[b] ^= carry;
        carry = next;
    }
}

EC_INLINE void add_rows(uint32_t *plane, const uint32_t *column, const unsigned *row, unsigned n)
{
    for (; n >= 8; n -= 8, row += 8) {
        uint32_t two = ec_full_add(&plane[0], row_word(column, row[0]), row_word(column, row[1]));
        uint32_t other = ec_full_add(&plane[0], row_word(column, row[2]), row_word(column, row[3]));
        uint32_t four = ec_full_add(&plane[1], two, other);
        two = ec_full_add(&plane[0], row_word(column, row[4]), row_word(column, row[5]));
        other = ec_full_add(&plane[0], row_word(column, row[6]), row_word(column, row[7]));
        uint32_t carry = ec_full_add(&plane[2], four, ec_full_add(&plane[1], two, other));
        carry_on(plane, 3, carry);
    }
    for (; n >= 2; n -= 2, row += 2) {
        uint32_t carry = ec_full_add(&plane[0], row_word(column, row[0]), row_word(column, row[1]));
        carry_on(plane, 1, carry);
    }
    if (n) {
        uint32_t carry = row_word(column, row[0]);
        carry_on(plane, 0, carry);
    }
}

void ec_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
                unsigned words, const uint32_t *start)
{
    for (; words; words--, column++, groups++) {
        uint32_t plane[EC_FEW_PLANES];
        EC_UNROLL for (unsigned b = 0; b < EC_FEW_PLANES; b++) plane[b] = start[b];
        add_rows(plane, column, row, n_rows);
        EC_UNROLL for (unsigned b = 0; b < 8; b++)
            groups->sum[b] = plane[b < EC_FEW_PLANES ? b : EC_FEW_PLANES - 1];
    }
}
