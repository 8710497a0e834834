/* Arithmetic on 32 int8 in planes, and a substep of 32 neurons whose state lies so. */
#ifndef EC_PLANES_H
#define EC_PLANES_H

#include "ec_kernel.h"

#define SIGN 7u
#define EACH_BIT(b)         EC_UNROLL for (unsigned b = 0; b < 8; b++)
#define EACH_BIT_BUT_SIGN(b) EC_UNROLL for (unsigned b = 0; b < SIGN; b++)

/* x - (x >> k): no overflow. */
EC_INLINE void decay(uint32_t *x, unsigned k)
{
    uint32_t borrow = 0;
    EACH_BIT(b)
    {
        uint32_t part = x[b + k < SIGN ? b + k : SIGN];
        uint32_t differ = x[b] ^ part;
        x[b] = differ ^ borrow;
        borrow ^= differ & (part ^ borrow);
    }
}

/* x + y without its last carry: bit 7 is that of the sum modulo 256. */
EC_INLINE void add(uint32_t *x, const uint32_t *y)
{
    uint32_t carry = 0;
    EACH_BIT(b)
    {
        uint32_t half = x[b] ^ y[b];
        uint32_t sum = half ^ carry;
        carry = x[b] ^ (half & (x[b] ^ carry));
        x[b] = sum;
    }
}

/* sat8(x + y) */
EC_INLINE void add_saturated(uint32_t *x, const uint32_t *y)
{
    uint32_t sign = x[SIGN];
    uint32_t alike = ~(sign ^ y[SIGN]);
    add(x, y);
    uint32_t over = alike & (sign ^ x[SIGN]);
    uint32_t most = over & ~sign; /* bits of 127; those of -128 are zeros */
    EACH_BIT_BUT_SIGN(b) x[b] = (x[b] & ~over) | most;
    x[SIGN] ^= over;
}

/* sat8(x 2^g) for g >= 0, x >> -g for g < 0. Bits leave upwards from the top down, or downwards from
 * the bottom up. */
EC_INLINE void scale(uint32_t *x, int gain)
{
    uint32_t sign = x[SIGN];
    if (gain < 0) {
        EACH_BIT_BUT_SIGN(b) x[b] = x[(int)b - gain < (int)SIGN ? b + (unsigned)-gain : SIGN];
    } else if (gain > 0) {
        uint32_t over = 0;
        EACH_BIT_BUT_SIGN(b) over |= (int)b + gain >= (int)SIGN ? x[b] ^ sign : 0;
        EACH_BIT_BUT_SIGN(down)
        {
            unsigned b = SIGN - 1 - down;
            uint32_t bit = (int)b >= gain ? x[b - (unsigned)gain] : 0;
            x[b] = (bit & ~over) | (over & ~sign);
        }
    }
}

EC_INLINE void copy(uint32_t *to, const uint32_t *from)
{
    EACH_BIT(b) to[b] = from[b];
}

/* One substep of 32 neurons. Returns the spikes. */
EC_INLINE uint32_t ec_update_planes(ec_group *group, unsigned current_shift, unsigned membrane_shift,
                                int gain)
{
    uint32_t c[8];
    uint32_t v[8];
    uint32_t input[8];
    copy(c, group->current);
    decay(c, current_shift);
    copy(input, group->sum);
    scale(input, gain);
    add_saturated(c, input);
    copy(group->current, c);

    copy(input, group->drive);
    add_saturated(c, input); /* sat8(c + x): c itself is stored */
    copy(v, group->membrane);
    decay(v, membrane_shift);
    uint32_t sign = v[SIGN];
    uint32_t alike = ~(sign ^ c[SIGN]);
    add(v, c);
    uint32_t over = alike & (sign ^ v[SIGN]);
    uint32_t floor = over & sign;
    /* 64 or more, or beyond 127, which bit 7 then hides */
    uint32_t spikes = (v[6] & ~v[SIGN] & ~over) | (over & ~sign);
    uint32_t kept = ~(spikes | floor);
    EACH_BIT_BUT_SIGN(b) group->membrane[b] = v[b] & kept;
    group->membrane[SIGN] = (v[SIGN] & kept) | floor;
    return spikes;
}

#endif
