/* What every module of the core shares: error codes, byte order, arithmetic helpers.
 *
 * The core is C99, freestanding: no heap, no libc, no float, no globals. The caller owns all memory;
 * sizeof is the RAM budget. Functions return 0 or a count, else a negative EC_ERR_*.
 */
#ifndef EC_BASE_H
#define EC_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ecedge maps policy images in place and needs a little-endian core"
#endif

/* Code that stays a function: it takes its flash once, and its registers are not saved where it is
 * not called. */
#if defined(__GNUC__)
#define EC_APART static __attribute__((noinline, unused))
#else
#define EC_APART static
#endif

#define EC_ERR_ARGUMENT -1 /* a null pointer or an impossible number from our own caller */
#define EC_ERR_SHORT    -2 /* fewer bytes than the image says */
#define EC_ERR_MAGIC    -3 /* not a policy image */
#define EC_ERR_VERSION  -4 /* another image version or header */
#define EC_ERR_FIELD    -5 /* a field outside the ranges of docs/MODEL.md */
#define EC_ERR_SIZE     -6 /* the image's size is not what its fields give */
#define EC_ERR_CRC      -7 /* damaged */
#define EC_ERR_CAPACITY -8 /* larger than the caller's buffers */
#define EC_ERR_GOLDEN   -9 /* the golden trace came out differently */

static inline uint16_t ec_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | ((uint16_t)p[1] << 8));
}

static inline uint32_t ec_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline void ec_put16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static inline void ec_put32(uint8_t *p, uint32_t x)
{
    ec_put16(p, (uint16_t)x);
    ec_put16(p + 2, (uint16_t)(x >> 16));
}

static inline void ec_put64(uint8_t *p, uint64_t x)
{
    ec_put32(p, (uint32_t)x);
    ec_put32(p + 4, (uint32_t)(x >> 32));
}

/* The two's complement value of 16 bits, without a conversion that C leaves to the compiler. */
static inline int32_t ec_signed16(uint16_t x)
{
    return (int32_t)(x ^ 0x8000u) - 0x8000;
}

/* floor(x / 2^k) for 0 <= k <= 31: C leaves the shift of a negative number to the compiler. */
static inline int32_t ec_asr(int32_t x, unsigned k)
{
    return x < 0 ? ~(~x >> k) : x >> k;
}

static inline int32_t ec_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

#endif
