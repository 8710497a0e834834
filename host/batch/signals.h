/* What a task and a network say to each other, in floats: docs/MODEL.md section 2, and as
 * ecedge.model's ObservationMap.encode and decode_action have it, bit for bit. */
#ifndef EC_SIGNALS_H
#define EC_SIGNALS_H

#include "ec_policy.h"

/* 2^exponent */
static inline float ec_counts_per_unit(int exponent)
{
    float power = 1.0f;
    for (; exponent > 0; exponent--)
        power *= 2.0f;
    for (; exponent < 0; exponent++)
        power *= 0.5f;
    return power;
}

static inline bool ec_is_finite(double x)
{
    return x - x == 0.0;
}

/* The count of a finite observation. */
static inline int16_t ec_encode(double observation, float counts_per_unit)
{
    const float to_whole = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers, half to even */
    float scaled = (float)observation * counts_per_unit;
    scaled = scaled < -32768.0f ? -32768.0f : scaled > 32767.0f ? 32767.0f : scaled;
    return (int16_t)((scaled + to_whole) - to_whole);
}

/* A continuous action between its bounds. */
static inline float ec_decode(int16_t output, float low, float high)
{
    int32_t clipped = output < -EC_OUTPUT_ONE ? -EC_OUTPUT_ONE : output > EC_OUTPUT_ONE ? EC_OUTPUT_ONE : output;
    return low + (high - low) * ((float)(clipped + EC_OUTPUT_ONE) / (2.0f * EC_OUTPUT_ONE));
}

/* A discrete action: the lowest index of the largest output. */
static inline int64_t ec_choose(const int16_t *output, uint32_t n_act)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n_act; i++)
        best = output[i] > output[best] ? i : best;
    return best;
}

#endif
