/* The neurons in byte lanes, for Armv7E-M (Cortex-M4, M7) and Armv8-M with DSP (M33): four a word,
 * in the parallel additions of DDI 0403, A4.4.3. Word l of 8 holds neurons l, l + 8, l + 16, l + 24:
 * what planes give by a transposition of each byte's 8 bits in 8 words.
 *
 * Currents and membrane potentials lie complemented (y = ~x = -x - 1): then x - (x >> k) is k
 * halvings of y, and every sum of a complement and a number is one saturating subtraction. Drives
 * lie as x - 1, so that x + c = (x - 1) - ~c.
 */
#include "ec_kernel.h"

#define ONES 0x01010101u

/* sat8(a - b) and floor((a + b) / 2), four at once. */
EC_INLINE uint32_t subtract(uint32_t a, uint32_t b)
{
    uint32_t difference;
    __asm__("qsub8 %0, %1, %2" : "=r"(difference) : "r"(a), "r"(b));
    return difference;
}

EC_INLINE uint32_t halve(uint32_t a, uint32_t b)
{
    uint32_t half;
    __asm__("shadd8 %0, %1, %2" : "=r"(half) : "r"(a), "r"(b));
    return half;
}

/* 1 where ~y >= 64; there y becomes ~0. */
EC_INLINE uint32_t fire(uint32_t *y)
{
    uint32_t spikes;
    __asm__("ssub8 %0, %2, %1\n\t"
            "sel   %0, %3, %4\n\t"
            "sel   %1, %5, %1"
            : "=&r"(spikes), "+r"(*y)
            : "r"(~(EC_V_TH * ONES)), "r"(ONES), "r"(0), "r"(0xFFFFFFFFu)
            : "cc");
    return spikes;
}

static uint32_t decay(uint32_t y, unsigned k)
{
    uint32_t part = 0xFFFFFFFFu;
    while (k--)
        part = halve(y, part);
    return part;
}

/* sat8(x 2^g) for g >= 0, x >> -g for g < 0. */
static uint32_t scale(uint32_t x, int gain)
{
    for (; gain > 0; gain--)
        __asm__("qadd8 %0, %0, %0" : "+r"(x));
    for (; gain < 0; gain++)
        x = halve(x, 0);
    return x;
}

/* Exchanges the bits of `mask` in *high with those that are k higher in *low. */
EC_INLINE void exchange(uint32_t *low, uint32_t *high, unsigned k, uint32_t mask)
{
    uint32_t differ = ((*low >> k) ^ *high) & mask;
    *high ^= differ;
    *low ^= differ << k;
}

/* Planes to lanes: in each byte, bit l of word b becomes bit b of word l. */
static void transpose(uint32_t x[8])
{
    for (unsigned i = 0; i < 4; i++)
        exchange(&x[i], &x[i + 4], 4, 0x0F0F0F0Fu);
    for (unsigned i = 0; i < 8; i += i % 4 == 1 ? 3 : 1)
        exchange(&x[i], &x[i + 2], 2, 0x33333333u);
    for (unsigned i = 0; i < 8; i += 2)
        exchange(&x[i], &x[i + 1], 1, 0x55555555u);
}

uint32_t ec_update_group(ec_group *group, const ec_spec *spec)
{
    uint32_t spikes = 0;
    transpose(group->sum);
    for (unsigned l = 0; l < 8; l++) {
        uint32_t input = scale(group->sum[l], spec->recurrent_gain);
        uint32_t c = subtract(decay(group->current[l], spec->current_shift), input);
        uint32_t drive = subtract(group->drive[l], c);
        uint32_t v = subtract(decay(group->membrane[l], spec->membrane_shift), drive);
        spikes |= fire(&v) << l;
        group->current[l] = c;
        group->membrane[l] = v;
    }
    return spikes;
}

static uint8_t *lane(const uint32_t *lanes, unsigned i)
{
    return (uint8_t *)(lanes + i % 8u) + i / 8u;
}

void ec_lanes_put(uint32_t *lanes, unsigned i, int8_t value)
{
    *lane(lanes, i) = (uint8_t)~value;
}

int8_t ec_lanes_get(const uint32_t *lanes, unsigned i)
{
    return (int8_t)~*lane(lanes, i);
}

void ec_lanes_put_drive(uint32_t *lanes, const uint32_t *plane)
{
    for (unsigned l = 0; l < 8; l++)
        lanes[l] = plane[l];
    transpose(lanes);
    for (unsigned l = 0; l < 8; l++)
        lanes[l] = subtract(lanes[l], ONES); /* -127 at least: nothing saturates */
}
