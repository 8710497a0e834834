/* The kernel, written once and compiled for each instruction set: event-driven columns in bit-sliced
 * counters, neurons in lanes of bytes, random bits in lanes of words.
 *
 * The file that includes this defines KERNEL (the table's name), KERNEL_TITLE, KERNEL_SUPPORTED and
 * WIDEST_ROW, and is compiled with the flags of its instruction set.
 */
#include "kernel.h"

#include "lanes.h"

#define V_TH             64
#define MAX_LANES        1024
#define MAX_INPUT_PLANES 18 /* 127 * 1024 observations, and a sign */

/* Planes whose two's complement range holds -magnitude ... magnitude. */
static inline unsigned planes_for(int32_t magnitude)
{
    unsigned planes = 1;
    for (int32_t end = 1; magnitude >= end; end *= 2)
        planes++;
    return planes;
}

static inline int32_t clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* gcc and clang shift negative numbers arithmetically, and only they compile this. */
static inline int8_t quantise(const ec_channel *channel, int16_t raw)
{
    int32_t scaled = (raw - channel->offset) * channel->multiplier;
    return (int8_t)clamp((scaled + ((1 << channel->shift) >> 1)) >> channel->shift, -127, 127);
}

/* The recurrent rows of the neurons that spiked, in their order; returns how many. */
static inline unsigned list_spikes(const ec_layout *layout, const uint8_t *member, const uint32_t *w_rec,
                                   const uint32_t **rows, unsigned *n_inh)
{
    const uint64_t *spikes = (const uint64_t *)(member + layout->spikes_at);
    unsigned n = 0, n_exc = 0;
    for (unsigned w = 0; w < layout->lanes / 64; w++) {
        n_exc += (unsigned)__builtin_popcountll(spikes[w] & layout->excitatory[w]);
        for (uint64_t rest = spikes[w]; rest; rest &= rest - 1)
            rows[n++] = w_rec + (64 * w + (unsigned)__builtin_ctzll(rest)) * layout->stride;
    }
    *n_inh = n - n_exc;
    return n;
}

/* C = 2 popcount(W s E) - popcount(W s) in form 0; in form 1 E is everything and popcount(s) goes. */
static inline void filter_outputs(const ec_layout *layout, uint8_t *member, unsigned n_spikes)
{
    const ec_spec *spec = &layout->spec;
    const uint64_t *spikes = (const uint64_t *)(member + layout->spikes_at);
    int16_t *output = (int16_t *)(member + layout->output_at);
    const uint32_t *row = (const uint32_t *)member + (2u * spec->n_obs + spec->n_neurons) * layout->stride;
    for (unsigned a = 0; a < spec->n_act; a++, row += layout->stride) {
        int32_t excitatory = 0, all = 0;
        for (unsigned w = 0; w < layout->stride / 2; w++) {
            uint64_t through;
            memcpy(&through, row + 2 * w, sizeof through);
            through &= spikes[w];
            excitatory += __builtin_popcountll(through & layout->excitatory[w]);
            all += __builtin_popcountll(through);
        }
        int32_t count = 2 * excitatory - (spec->form == EC_FORM_SIGNED ? (int32_t)n_spikes : all);
        int32_t o = output[a] - (output[a] >> spec->output_shift) + count * (1 << spec->output_gain);
        output[a] = (int16_t)clamp(o, -32768, 32767);
    }
}

/* Sampling: docs/MODEL.md section 4, for LANES words of 32 synapses at once. */

#define LANES (LANE_BYTES / 4)

typedef uint32_t words __attribute__((vector_size(LANE_BYTES), may_alias));

typedef struct {
    words x0, x1;
} random_words;

static inline words rotate_left(words x, unsigned k)
{
    return (x << k) | (x >> (32 - k));
}

static inline __attribute__((always_inline)) random_words threefry(uint32_t key0, uint32_t key1,
                                                                   words counter0, uint32_t counter1)
{
    const uint32_t key[3] = {key0, key1, 0x1BD11BDAu ^ key0 ^ key1};
    words x0 = counter0 + key0;
    words x1 = (words){0} + (counter1 + key1);
#define ROUND(k) (x0 += x1, x1 = rotate_left(x1, k) ^ x0)
#define FIRST    (ROUND(13), ROUND(15), ROUND(26), ROUND(6))
#define SECOND   (ROUND(17), ROUND(29), ROUND(16), ROUND(24))
#define INJECT(j) (x0 += key[(j) % 3], x1 += key[((j) + 1) % 3] + (j))
    FIRST, INJECT(1), SECOND, INJECT(2), FIRST, INJECT(3), SECOND, INJECT(4), FIRST, INJECT(5);
#undef ROUND
#undef FIRST
#undef SECOND
#undef INJECT
    return (random_words){x0, x1};
}

typedef struct {
    words theta, undecided;
} comparison;

static inline void compare_plane(comparison *state, words random, words rho)
{
    words differ = (random ^ rho) & state->undecided;
    state->theta |= differ & rho;
    state->undecided &= ~differ;
}

#define PAIRS_FOR_ALL 3 /* after 6 planes, 4 of 10 words still have an undecided lane */

static void sample(const ec_rho_planes *rho, uint32_t n_words, uint32_t seed, uint32_t generation,
                   uint32_t member, uint32_t *synapses, uint32_t *scratch)
{
    uint32_t *undecided = scratch, *todo = scratch + rho->stride;
    words at;
    for (unsigned i = 0; i < LANES; i++)
        at[i] = i;
    for (uint32_t w = 0; w < n_words; w += LANES, at += LANES) {
        comparison state = {{0}, ~(words){0}};
        for (uint32_t pair = 0; pair < PAIRS_FOR_ALL; pair++) {
            const uint32_t *plane = rho->plane + 2 * pair * rho->stride + w;
            random_words random = threefry(seed, generation, at, 8 * member + pair);
            compare_plane(&state, random.x0, *(const words *)plane);
            compare_plane(&state, random.x1, *(const words *)(plane + rho->stride));
        }
        *(words *)(synapses + w) = state.theta;
        *(words *)(undecided + w) = state.undecided;
    }

    uint32_t n = 0;
    for (uint32_t w = 0; w < n_words; w++) {
        todo[n] = w;
        n += undecided[w] != 0;
    }
    for (uint32_t pair = PAIRS_FOR_ALL; pair < rho->planes / 2 && n; pair++) {
        const uint32_t *plane = rho->plane + 2 * pair * rho->stride;
        uint32_t left = 0;
        for (uint32_t first = 0; first < n; first += LANES) {
            words index = {0}, rho0 = {0}, rho1 = {0};
            comparison state = {{0}, {0}};
            for (unsigned i = 0; i < LANES; i++) {
                /* Lanes beyond the list repeat its first word and are not written back. */
                index[i] = todo[first + i < n ? first + i : first];
                rho0[i] = plane[index[i]];
                rho1[i] = plane[index[i] + rho->stride];
                state.theta[i] = synapses[index[i]];
                state.undecided[i] = undecided[index[i]];
            }
            random_words random = threefry(seed, generation, index, 8 * member + pair);
            compare_plane(&state, random.x0, rho0);
            compare_plane(&state, random.x1, rho1);
            for (unsigned i = 0; i < LANES && first + i < n; i++) {
                synapses[index[i]] = state.theta[i];
                undecided[index[i]] = state.undecided[i];
                todo[left] = index[i];
                left += state.undecided[i] != 0;
            }
        }
        n = left;
    }
}

#define ROW_BITS 128
#define NAME(x)  x##_128
#include "columns.h"
#undef ROW_BITS
#undef NAME

#if WIDEST_ROW >= 256
#define ROW_BITS 256
#define NAME(x)  x##_256
#include "columns.h"
#undef ROW_BITS
#undef NAME
#endif

#if WIDEST_ROW >= 512
#define ROW_BITS 512
#define NAME(x)  x##_512
#include "columns.h"
#undef ROW_BITS
#undef NAME
#endif

static uint32_t step(const ec_layout *layout, uint8_t *member, const int16_t *raw)
{
#if WIDEST_ROW >= 512
    if (layout->row_bits == 512)
        return step_512(layout, member, raw);
#endif
#if WIDEST_ROW >= 256
    if (layout->row_bits == 256)
        return step_256(layout, member, raw);
#endif
    return step_128(layout, member, raw);
}

#define WIDEST_(name, bits) name##_##bits
#define WIDEST(name, bits)  WIDEST_(name, bits)

const ec_kernel KERNEL = {
    .name = KERNEL_TITLE,
    .supported = KERNEL_SUPPORTED,
    .widest_row = WIDEST_ROW,
    .step = step,
    .sample = sample,
    .weigh = WIDEST(weigh, WIDEST_ROW),
};
