#include "ec_evolve.h"

#include "ec_random.h"

#define ROUNDING_STREAM 0x80000000u

typedef struct {
    uint32_t theta;
    uint32_t undecided;
} comparison;

static void compare_plane(comparison *state, uint32_t random, uint32_t rho)
{
    uint32_t differ = (random ^ rho) & state->undecided;
    state->theta |= differ & rho;
    state->undecided &= ~differ;
}

/* Compares the planes of 32 probabilities with random words, two planes a call of the generator. */
static uint32_t sample_planes(const uint32_t *plane, unsigned planes, uint32_t seed, uint32_t generation,
                              uint32_t member, uint32_t word)
{
    comparison state = {0, 0xFFFFFFFFu};
    for (unsigned p = 0; p < planes && state.undecided; p += 2) {
        ec_random_pair random = ec_random(seed, generation, word, 8u * member + p / 2u);
        compare_plane(&state, random.x0, plane[p]);
        compare_plane(&state, random.x1, plane[p + 1]);
    }
    return state.theta;
}

static void slice(uint32_t *plane, unsigned planes, uint32_t rho, unsigned lane)
{
    for (unsigned p = 0; p < planes; p++)
        plane[p] |= ((rho >> (planes - 1u - p)) & 1u) << lane;
}

uint32_t ec_sample_word16(const uint16_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                          uint32_t word)
{
    uint32_t plane[16] = {0};
    for (unsigned i = 0; i < 32; i++)
        slice(plane, 16, rho[i], i);
    return sample_planes(plane, 16, seed, generation, member, word);
}

uint32_t ec_sample_word8(const uint8_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                         uint32_t word)
{
    uint32_t plane[8] = {0};
    for (unsigned i = 0; i < 32; i++)
        slice(plane, 8, rho[i], i);
    return sample_planes(plane, 8, seed, generation, member, word);
}

void ec_ranks(const int32_t *fitness, uint32_t population, int32_t *ranks)
{
    for (uint32_t k = 0; k < population; k++) {
        int32_t rank = 0;
        for (uint32_t j = 0; j < population; j++)
            rank += (fitness[j] < fitness[k]) - (fitness[j] > fitness[k]);
        ranks[k] = rank;
    }
}

/* floor((step * gradient + add) / 2^shift), for 0 <= add < 2^shift. */
static int64_t scaled_step(uint32_t step, int32_t gradient, uint32_t add, unsigned shift)
{
    int64_t moved = (int64_t)step * gradient + add;
    return moved < 0 ? ~(~moved >> shift) : moved >> shift;
}

static int64_t clamp64(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

void ec_update_rho16(uint16_t *rho, const int32_t *gradient, uint32_t count, uint32_t step)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t moved = rho[i] + scaled_step(step, gradient[i], 0x8000u, 16);
        rho[i] = (uint16_t)clamp64(moved, EC_RHO16_LOW, EC_RHO16_HIGH);
    }
}

void ec_update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step, uint32_t seed,
                    uint32_t generation, uint32_t first)
{
    ec_random_pair random = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            random = ec_random(seed, generation, (first + i) / 2u, ROUNDING_STREAM);
        uint32_t uniform = (i % 2 ? random.x1 : random.x0) & 0xFFFFFFu;
        int64_t moved = rho[i] + scaled_step(step, gradient[i], uniform, 24);
        rho[i] = (uint8_t)clamp64(moved, EC_RHO8_LOW, EC_RHO8_HIGH);
    }
}
