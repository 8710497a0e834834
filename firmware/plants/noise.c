/* Noise in the place of a plant: counts by chance, for a policy of any shape. An episode on it has
 * neither sensors nor a line to wait for: it proves what a board computes, as fast as it computes.
 * ecedge/plants/noise.py draws the same. docs/PLANT.md.
 */
#include "ec_rig.h"

#include "ec_random.h"

#define EXTREMES 64u /* one count of so many is the least there is, and one the most */

static struct {
    uint32_t seed;
    uint32_t step;
} noise;

static uint32_t begin(void *context, const ec_policy *policy, uint32_t seed)
{
    (void)context, (void)policy;
    noise.seed = seed;
    noise.step = 0;
    return 0;
}

/* From a whisper to all that a count can be. */
static void sense(void *context, int16_t *raw, unsigned n)
{
    (void)context;
    for (unsigned i = 0; i < n; i++) {
        ec_random_pair by = ec_random(noise.seed, 0, i, noise.step);
        uint32_t chance = by.x1 % EXTREMES;
        int32_t value = (int32_t)(by.x0 >> 16) - 32768;
        raw[i] = (int16_t)(chance == 0 ? -32768 : chance == 1 ? 32767 : ec_asr(value, by.x0 % 16u));
    }
}

static void apply(void *context, int16_t *outputs, unsigned n)
{
    (void)context, (void)outputs, (void)n;
}

static uint8_t judge(void *context, int32_t *reward)
{
    (void)context;
    noise.step++;
    *reward = 0;
    return EC_PLANT_GOES_ON;
}

ec_rig ec_rig_open(void)
{
    return (ec_rig){
        .apply = apply,
        .safe = apply,
        .plant = "noise",
        .begin = begin,
        .sense = sense,
        .judge = judge,
    };
}
