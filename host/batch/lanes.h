/* The few operations on lanes of bytes that C cannot say for all processors at once. Everything else
 * in the kernels is the vector extension of gcc and clang.
 *
 *   bytes          LANE_BYTES int8
 *   bytes_adds     saturating add
 *   bytes_of_bits  -1 where a bit is set, 0 elsewhere; reads LANE_BYTES bits
 *   bits_of_signs  the signs of all lanes as LANE_BYTES bits
 *   words          LANES uint32
 *   words_keep     writes the lanes where `keep` is not 0 one after the other, and anything up to a
 *                  whole vector behind them; returns how many it kept
 *   words_gather   base[index] of every lane
 */
#ifndef EC_LANES_H
#define EC_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512BW__)
#define LANE_BYTES 64
#elif defined(__AVX2__)
#define LANE_BYTES 32
#else
#define LANE_BYTES 16
#endif

typedef int8_t bytes __attribute__((vector_size(LANE_BYTES)));
typedef uint8_t ubytes __attribute__((vector_size(LANE_BYTES)));
typedef uint16_t halves __attribute__((vector_size(LANE_BYTES)));

#define LANES (LANE_BYTES / 4)

typedef uint32_t words __attribute__((vector_size(LANE_BYTES), may_alias));

#if defined(__AVX512BW__)

static inline bytes bytes_adds(bytes a, bytes b)
{
    return (bytes)_mm512_adds_epi8((__m512i)a, (__m512i)b);
}

static inline bytes bytes_of_bits(const void *bits)
{
    uint64_t mask;
    memcpy(&mask, bits, sizeof mask);
    return (bytes)_mm512_movm_epi8(mask);
}

static inline void bits_of_signs(void *bits, bytes x)
{
    uint64_t mask = _mm512_movepi8_mask((__m512i)x);
    memcpy(bits, &mask, sizeof mask);
}

#elif defined(__AVX2__)

static inline bytes bytes_adds(bytes a, bytes b)
{
    return (bytes)_mm256_adds_epi8((__m256i)a, (__m256i)b);
}

static inline bytes bytes_of_bits(const void *bits)
{
    uint32_t mask;
    memcpy(&mask, bits, sizeof mask);
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, /**/
                                            2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i each = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), spread), bit);
    return (bytes)_mm256_cmpeq_epi8(each, bit);
}

static inline void bits_of_signs(void *bits, bytes x)
{
    uint32_t mask = (uint32_t)_mm256_movemask_epi8((__m256i)x);
    memcpy(bits, &mask, sizeof mask);
}

#else

static inline bytes bytes_of_bits(const void *bits)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    const uint8_t *b = bits;
    const uint64_t everywhere = 0x0101010101010101;
    const pair bit = {0x8040201008040201, 0x8040201008040201};
    pair each = (pair){b[0] * everywhere, b[1] * everywhere} & bit;
    return (bytes)each == (bytes)bit;
}

#if defined(__SSE2__)

static inline bytes bytes_adds(bytes a, bytes b)
{
    return (bytes)_mm_adds_epi8((__m128i)a, (__m128i)b);
}

static inline void bits_of_signs(void *bits, bytes x)
{
    uint16_t mask = (uint16_t)_mm_movemask_epi8((__m128i)x);
    memcpy(bits, &mask, sizeof mask);
}

#else

static inline bytes bytes_adds(bytes a, bytes b)
{
#if defined(__ARM_NEON)
    return (bytes)vqaddq_s8((int8x16_t)a, (int8x16_t)b);
#else
    bytes sum = (bytes)((ubytes)a + (ubytes)b);
    bytes wrapped = (~(a ^ b) & (a ^ sum)) < 0;
    bytes end = (a < 0) ^ 127;
    return (sum & ~wrapped) | (end & wrapped);
#endif
}

static inline void bits_of_signs(void *bits, bytes x)
{
    /* Gathers bit 0 of eight bytes into the top byte of a product. */
    typedef uint64_t pair __attribute__((vector_size(16)));
    pair ones = (pair)((ubytes)x >> 7);
    uint8_t *b = bits;
    b[0] = (uint8_t)((ones[0] * 0x0102040810204080) >> 56);
    b[1] = (uint8_t)((ones[1] * 0x0102040810204080) >> 56);
}

#endif
#endif

static inline unsigned words_keep(uint32_t *to, words x, words keep)
{
#if defined(__AVX512BW__)
    __mmask16 mask = _mm512_movepi32_mask((__m512i)keep);
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask, (__m512i)x));
    return (unsigned)__builtin_popcount(mask);
#else
    unsigned n = 0;
    for (unsigned i = 0; i < LANES; i++) {
        to[n] = x[i];
        n += keep[i] & 1;
    }
    return n;
#endif
}

static inline words words_gather(const uint32_t *base, words index)
{
#if defined(__AVX512BW__)
    return (words)_mm512_i32gather_epi32((__m512i)index, base, 4);
#elif defined(__AVX2__)
    return (words)_mm256_i32gather_epi32((const int *)base, (__m256i)index, 4);
#else
    words x;
    for (unsigned i = 0; i < LANES; i++)
        x[i] = base[index[i]];
    return x;
#endif
}

static inline bytes bytes_splat(int x)
{
    return (bytes){0} + (int8_t)x;
}

/* floor(x / 2^k): there is no shift of bytes, so halves are shifted and what came over is cut off. */
static inline bytes bytes_asr(bytes x, unsigned k)
{
    halves biased = (halves)(x ^ bytes_splat(-128));
    ubytes shifted = (ubytes)(biased >> k) & (ubytes)bytes_splat(0xFF >> k);
    return (bytes)(shifted - (ubytes)bytes_splat(0x80 >> k));
}

#endif
