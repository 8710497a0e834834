/* The kernel, written once and compiled for each instruction set: event-driven columns in bit-sliced
 * counters, neurons in lanes of bytes, random bits in lanes of words.
 *
 * The file that includes this defines KERNEL (the table's name), KERNEL_TITLE and WIDEST_ROW, and is
 * compiled with the flags of its instruction set.
 */
#include "kernel.h"

#include "lanes.h"

#define V_TH      64
#define MAX_LANES 1024

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

typedef int16_t shorts __attribute__((vector_size(LANE_BYTES)));

#define SHORT_SUM 256 /* terms of at most 127 that 16 bits can hold */

/* Adds q (W_in[i] - W_in[n_obs + i]) of up to SHORT_SUM observations for LANE_BYTES neurons: the even
 * ones and the odd ones, since there is no cheaper way to widen bytes. */
static inline void add_inputs(const uint32_t *positive, const uint32_t *negative, uint32_t stride,
                              const int8_t *q, unsigned n, shorts *even, shorts *odd)
{
    for (unsigned i = 0; i < n; i++, positive += stride, negative += stride) {
        bytes weight = bytes_splat(q[i]);
        bytes term = (weight & bytes_of_bits(positive)) - (weight & bytes_of_bits(negative));
        *even += (shorts)((halves)term << 8) >> 8;
        *odd += (shorts)term >> 8;
    }
}

static inline shorts select_shorts(shorts mask, shorts yes, shorts no)
{
    return (yes & mask) | (no & ~mask);
}

static inline shorts round_and_clip(shorts sum, unsigned shift)
{
    const shorts limit = (shorts){0} + 127;
    shorts x = (sum + (int16_t)((1 << shift) >> 1)) >> shift;
    x = select_shorts(x > limit, limit, x);
    return select_shorts(x < -limit, -limit, x);
}

/* x of docs/MODEL.md for all neurons. */
static void input_drive(const ec_layout *layout, uint8_t *member, const int16_t *raw)
{
    const unsigned n_obs = layout->spec.n_obs, shift = layout->spec.input_shift;
    const uint32_t stride = layout->stride;
    int8_t q[1024];
    for (unsigned i = 0; i < n_obs; i++)
        q[i] = quantise(&layout->map[i], raw[i]);
    for (unsigned lane = 0; lane < layout->lanes; lane += LANE_BYTES) {
        const uint32_t *row = (const uint32_t *)(const void *)(member + lane / 8);
        bytes x;
        if (n_obs <= SHORT_SUM) {
            shorts even = {0}, odd = {0};
            add_inputs(row, row + n_obs * stride, stride, q, n_obs, &even, &odd);
            halves low = (halves)round_and_clip(even, shift) & 0xFF;
            x = (bytes)(low | (halves)round_and_clip(odd, shift) << 8);
        } else {
            int32_t sums[LANE_BYTES] = {0};
            for (unsigned first = 0; first < n_obs; first += SHORT_SUM, row += SHORT_SUM * stride) {
                unsigned n = n_obs - first < SHORT_SUM ? n_obs - first : SHORT_SUM;
                shorts even = {0}, odd = {0};
                add_inputs(row, row + n_obs * stride, stride, q + first, n, &even, &odd);
                for (unsigned i = 0; i < LANE_BYTES / 2; i++) {
                    sums[2 * i] += even[i];
                    sums[2 * i + 1] += odd[i];
                }
            }
            for (unsigned i = 0; i < LANE_BYTES; i++)
                x[i] = (int8_t)clamp((sums[i] + ((1 << shift) >> 1)) >> shift, -127, 127);
        }
        memcpy(member + layout->drive_at + lane, &x, sizeof x);
    }
}

/* What a substep needs of a member, in one place: locals that no store can alias. */
typedef struct {
    int8_t *current, *membrane;
    const int8_t *drive;
    uint64_t *spikes;
    const uint64_t *excitatory;
    const uint32_t *w_rec, *w_out;
    int16_t *output;
    uint32_t stride, spike_words;
    unsigned current_shift, membrane_shift, output_shift, output_gain, n_act;
    int recurrent_gain;
    bool is_signed;
} neurons;

static inline neurons neurons_of(const ec_layout *layout, uint8_t *member)
{
    const ec_spec *spec = &layout->spec;
    const uint32_t *rows = (const uint32_t *)(const void *)member;
    return (neurons){
        .current = (int8_t *)member + layout->current_at,
        .membrane = (int8_t *)member + layout->membrane_at,
        .drive = (const int8_t *)member + layout->drive_at,
        .spikes = (uint64_t *)(void *)(member + layout->spikes_at),
        .excitatory = layout->excitatory,
        .w_rec = rows + 2u * spec->n_obs * layout->stride,
        .w_out = rows + (2u * spec->n_obs + spec->n_neurons) * layout->stride,
        .output = (int16_t *)(void *)(member + layout->output_at),
        .stride = layout->stride,
        .spike_words = (spec->n_neurons + 63u) / 64u,
        .current_shift = spec->current_shift,
        .membrane_shift = spec->membrane_shift,
        .output_shift = spec->output_shift,
        .output_gain = spec->output_gain,
        .n_act = spec->n_act,
        .recurrent_gain = spec->recurrent_gain,
        .is_signed = spec->form == EC_FORM_SIGNED,
    };
}

static const uint32_t zero_row[MAX_LANES / 32] __attribute__((aligned(EC_ALIGN)));

/* The recurrent rows of the neurons that spiked, in their order, and rows of zeros behind them. */
typedef struct {
    const uint32_t *rows[MAX_LANES + 16];
    unsigned n, n_inh;
} spike_list;

/* Eight are taken at a time, whether there are so many or not: a branch that goes astray costs more. */
static inline void list_spikes(const neurons *all, spike_list *list)
{
    unsigned n = 0, n_exc = 0;
    for (unsigned w = 0; w < all->spike_words; w++) {
        uint64_t rest = all->spikes[w];
        const uint32_t *first = all->w_rec + 64 * w * all->stride;
        const uint32_t **next = list->rows + n;
        n_exc += (unsigned)__builtin_popcountll(rest & all->excitatory[w]);
        n += (unsigned)__builtin_popcountll(rest);
        while (rest) {
            for (unsigned k = 0; k < 8; k++) {
                *next++ = first + (unsigned)__builtin_ctzll(rest | 1ull << 63) * all->stride;
                rest &= rest - 1;
            }
        }
    }
    for (unsigned k = 0; k < 8; k++)
        list->rows[n + k] = zero_row;
    list->n = n;
    list->n_inh = n - n_exc;
}

/* Current, membrane and spikes of LANE_BYTES neurons from neuron i on, given S. */
static inline void update_lanes(const neurons *all, unsigned i, bytes sum)
{
    bytes c, v, x;
    memcpy(&c, all->current + i, sizeof c);
    memcpy(&v, all->membrane + i, sizeof v);
    memcpy(&x, all->drive + i, sizeof x);
    for (int k = 0; k < all->recurrent_gain; k++)
        sum = bytes_adds(sum, sum);
    if (all->recurrent_gain < 0)
        sum = bytes_asr(sum, (unsigned)-all->recurrent_gain);
    c = bytes_adds(c - bytes_asr(c, all->current_shift), sum);
    v = bytes_adds(v - bytes_asr(v, all->membrane_shift), bytes_adds(c, x));
    bytes fires = v >= bytes_splat(V_TH);
    v &= ~fires;
    bits_of_signs((uint8_t *)all->spikes + i / 8, fires);
    memcpy(all->current + i, &c, sizeof c);
    memcpy(all->membrane + i, &v, sizeof v);
}

/* One word at a time has an instruction; made into vectors, which compilers love, it has none. */
static inline int32_t popcount(uint64_t x)
{
    int32_t count = __builtin_popcountll(x);
    __asm__("" : "+r"(count));
    return count;
}

/* C = 2 popcount(W s E) - popcount(W s) in form 0; in form 1 E is everything and popcount(s) goes. */
static inline void filter_outputs(const neurons *all, unsigned n_spikes)
{
    const uint32_t *row = all->w_out;
    for (unsigned a = 0; a < all->n_act; a++, row += all->stride) {
        int32_t excitatory = 0, through = 0;
        for (unsigned w = 0; w < all->spike_words; w++) {
            uint64_t bits;
            memcpy(&bits, row + 2 * w, sizeof bits);
            bits &= all->spikes[w];
            excitatory += popcount(bits & all->excitatory[w]);
            through += popcount(bits);
        }
        int32_t count = 2 * excitatory - (all->is_signed ? (int32_t)n_spikes : through);
        int32_t o = all->output[a];
        o = o - (o >> all->output_shift) + count * (1 << all->output_gain);
        all->output[a] = (int16_t)clamp(o, -32768, 32767);
    }
}

/* Sampling: docs/MODEL.md section 4, for LANES words of 32 synapses at once. */

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
    /* Words with undecided lanes, kept close together: where they are, which lanes, and the two planes
     * that they need next, which are cheaper to keep than to gather. */
    uint32_t *index = scratch, *undecided = index + rho->stride;
    uint32_t *next0 = undecided + rho->stride, *next1 = next0 + rho->stride;
    const uint32_t *next_plane = rho->plane + 2 * PAIRS_FOR_ALL * rho->stride;
    uint32_t n = 0;
    words at;
    for (unsigned i = 0; i < LANES; i++)
        at[i] = i;
    for (uint32_t w = 0; w < n_words; w += LANES, at += LANES) {
        comparison state = {{0}, ~(words){0}};
#pragma GCC unroll 3
        for (uint32_t pair = 0; pair < PAIRS_FOR_ALL; pair++) {
            const uint32_t *plane = rho->plane + 2 * pair * rho->stride + w;
            random_words random = threefry(seed, generation, at, 8 * member + pair);
            compare_plane(&state, random.x0, *(const words *)plane);
            compare_plane(&state, random.x1, *(const words *)(plane + rho->stride));
        }
        *(words *)(synapses + w) = state.theta;
        words keep = state.undecided != 0;
        words_keep(index + n, at, keep);
        words_keep(next0 + n, *(const words *)(next_plane + w), keep);
        words_keep(next1 + n, *(const words *)(next_plane + rho->stride + w), keep);
        n += words_keep(undecided + n, state.undecided, keep);
    }
    for (uint32_t pair = PAIRS_FOR_ALL; pair < rho->planes / 2 && n; pair++) {
        const uint32_t *plane = rho->plane + 2 * pair * rho->stride;
        uint32_t left = 0;
        for (uint32_t first = 0; first < n; first += LANES) {
            words from, lane_number;
            comparison state = {{0}, {0}};
            memcpy(&from, index + first, sizeof from);
            memcpy(&state.undecided, undecided + first, sizeof from);
            for (unsigned i = 0; i < LANES; i++)
                lane_number[i] = i;
            words listed = lane_number < n - first;
            from &= listed;
            words rho0, rho1;
            if (pair == PAIRS_FOR_ALL) {
                memcpy(&rho0, next0 + first, sizeof rho0);
                memcpy(&rho1, next1 + first, sizeof rho1);
            } else {
                rho0 = words_gather(plane, from);
                rho1 = words_gather(plane + rho->stride, from);
            }
            random_words random = threefry(seed, generation, from, 8 * member + pair);
            compare_plane(&state, random.x0, rho0);
            compare_plane(&state, random.x1, rho1);
            for (unsigned i = 0; i < LANES && first + i < n; i++)
                synapses[from[i]] |= state.theta[i];
            words keep = (state.undecided != 0) & listed;
            words_keep(index + left, from, keep);
            left += words_keep(undecided + left, state.undecided, keep);
        }
        n = left;
    }
}

/* Bit planes of probabilities, LANE_BYTES synapses at a time: the signs of what is shifted up. */
static void slice_bytes(uint32_t *plane, uint32_t stride, uint32_t first, ubytes x)
{
    for (unsigned p = 0; p < 8; p++) {
        bits_of_signs((uint8_t *)(plane + p * stride) + first / 8, (bytes)x);
        x += x;
    }
}

static void slice16(const uint16_t *rho, uint32_t *plane, uint32_t stride, uint32_t first)
{
    typedef uint16_t wide __attribute__((vector_size(2 * LANE_BYTES)));
    wide x;
    memcpy(&x, rho, sizeof x);
    slice_bytes(plane, stride, first, __builtin_convertvector(x >> 8, ubytes));
    slice_bytes(plane + 8 * stride, stride, first, __builtin_convertvector(x & 0xFF, ubytes));
}

static void slice8(const uint8_t *rho, uint32_t *plane, uint32_t stride, uint32_t first)
{
    ubytes x;
    memcpy(&x, rho, sizeof x);
    slice_bytes(plane, stride, first, x);
}

static void slice(const uint16_t *rho16, const uint8_t *rho8, uint32_t *plane, uint32_t stride,
                  uint32_t first, uint32_t count)
{
    for (uint32_t done = 0; done < count; done += LANE_BYTES) {
        uint32_t left = count - done < LANE_BYTES ? count - done : LANE_BYTES;
        uint16_t some16[LANE_BYTES] = {0};
        uint8_t some8[LANE_BYTES] = {0};
        if (rho16)
            slice16(memcpy(some16, rho16 + first + done, 2 * left), plane, stride, first + done);
        else
            slice8(memcpy(some8, rho8 + first + done, left), plane, stride, first + done);
    }
}

#define ROW_BITS     128
#define NAME(x)      x##_128
#define TERNARY      _mm_ternarylogic_epi64
#define TERNARY_TYPE __m128i
#include "columns.h"

#if WIDEST_ROW >= 256
#define ROW_BITS     256
#define NAME(x)      x##_256
#define TERNARY      _mm256_ternarylogic_epi64
#define TERNARY_TYPE __m256i
#include "columns.h"
#endif

#if WIDEST_ROW >= 512
#define ROW_BITS     512
#define NAME(x)      x##_512
#define TERNARY      _mm512_ternarylogic_epi64
#define TERNARY_TYPE __m512i
#include "columns.h"
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

#include "rivals_body.h"

#define WIDEST_(name, bits) name##_##bits
#define WIDEST(name, bits)  WIDEST_(name, bits)

const ec_kernel KERNEL = {
    .name = KERNEL_TITLE,
    .widest_row = WIDEST_ROW,
    .step = step,
    .sample = sample,
    .slice = slice,
    .weigh = WIDEST(weigh, WIDEST_ROW),
    .rivals = RIVALS,
};
