#include "ec_evolve.h"

#include "ec_kernel.h"
#include "ec_random.h"

#define ROUNDING_STREAM 0x80000000u

/* -- random words ------------------------------------------------------------------------------------ */

/* ks of docs/MODEL.md section 3. */
typedef struct {
    uint32_t ks[3];
} schedule;

static schedule schedule_of(uint32_t seed, uint32_t generation)
{
    return (schedule){{seed, generation, 0x1BD11BDAu ^ seed ^ generation}};
}

EC_INLINE void four_rounds(ec_random_pair *x, unsigned r0, unsigned r1, unsigned r2, unsigned r3)
{
    const unsigned rotation[4] = {r0, r1, r2, r3};
    EC_UNROLL for (unsigned i = 0; i < 4; i++)
    {
        x->x0 += x->x1;
        x->x1 = (x->x1 << rotation[i] | x->x1 >> (32u - rotation[i])) ^ x->x0;
    }
}

EC_INLINE void inject(ec_random_pair *x, const schedule *key, uint32_t j)
{
    x->x0 += key->ks[j % 3];
    x->x1 += key->ks[(j + 1) % 3] + j;
}

/* ec_random with its rounds unrolled: an evolving device spends most of its time here. */
EC_INLINE ec_random_pair draw(const schedule *key, uint32_t counter0, uint32_t counter1)
{
    ec_random_pair x = {counter0, counter1};
    inject(&x, key, 0);
    four_rounds(&x, 13, 15, 26, 6);
    inject(&x, key, 1);
    four_rounds(&x, 17, 29, 16, 24);
    inject(&x, key, 2);
    four_rounds(&x, 13, 15, 26, 6);
    inject(&x, key, 3);
    four_rounds(&x, 17, 29, 16, 24);
    inject(&x, key, 4);
    four_rounds(&x, 13, 15, 26, 6);
    inject(&x, key, 5);
    return x;
}

/* -- sampling ---------------------------------------------------------------------------------------- */

/* Lanes that later planes can still set, after each pair: where none of an undecided lane's are set, r
 * can no longer be below rho. */
typedef struct {
    uint32_t after[4];
} rests;

static rests rests_of(const uint32_t *plane)
{
    uint32_t last = plane[6] | plane[7];
    uint32_t half = last | plane[4] | plane[5];
    return (rests){{half | plane[2] | plane[3], half, last, 0}};
}

EC_INLINE void compare(uint32_t *theta, uint32_t *undecided, uint32_t random, uint32_t plane)
{
    uint32_t differ = (random ^ plane) & *undecided;
    *theta |= differ & plane;
    *undecided ^= differ;
}

/* 32 synapses of a member: two planes a draw, until every lane is decided. */
EC_INLINE uint32_t sample(const uint32_t *plane, const rests *rest, const schedule *key, uint32_t member,
                          uint32_t word)
{
    uint32_t theta = 0;
    uint32_t undecided = 0xFFFFFFFFu;
    EC_UNROLL for (unsigned pair = 0; pair < 4; pair++)
    {
        ec_random_pair random = draw(key, word, 8u * member + pair);
        compare(&theta, &undecided, random.x0, plane[2 * pair]);
        compare(&theta, &undecided, random.x1, plane[2 * pair + 1]);
        if (!(undecided & rest->after[pair]))
            break;
    }
    return theta;
}

/* From synapses to an image's word, and back. */
EC_INLINE uint32_t in_image(const ec_evolve *evolve, uint32_t word, uint32_t theta)
{
    bool inhibits = word >= evolve->inhibiting && word < evolve->inhibiting_end;
    return inhibits ? ~theta : theta;
}

void ec_evolve_sample(const ec_evolve *evolve, uint32_t member, uint32_t first, uint32_t count,
                      uint32_t *synapses)
{
    schedule key = schedule_of(evolve->seed, evolve->generation);
    for (uint32_t word = first; word < first + count; word++) {
        const uint32_t *plane = evolve->rho[word].plane;
        rests rest = rests_of(plane);
        *synapses++ = in_image(evolve, word, sample(plane, &rest, &key, member, word));
    }
}

void ec_evolve_decide(const ec_evolve *evolve, uint32_t first, uint32_t count, uint32_t *synapses)
{
    for (uint32_t word = first; word < first + count; word++)
        *synapses++ = in_image(evolve, word, evolve->rho[word].plane[0]);
}

void ec_evolve_soften(ec_evolve *evolve, const uint32_t *synapses, uint8_t one)
{
    uint32_t odds[2] = {256u - one, one};
    for (uint32_t word = 0; word < evolve->n_words; word++) {
        uint32_t theta = in_image(evolve, word, synapses[word]);
        for (unsigned p = 0; p < 8; p++) {
            uint32_t where_one = (odds[1] >> (7u - p)) & 1u ? theta : 0u;
            uint32_t where_none = (odds[0] >> (7u - p)) & 1u ? ~theta : 0u;
            evolve->rho[word].plane[p] = where_one | where_none;
        }
    }
}

/* Matrices of 2^levels x 2^levels bits that lie side by side in so many rows, each to its transpose: bit i
 * of matrix m in row p becomes bit p of matrix m in row i. */
EC_INLINE void transpose(uint32_t *row, unsigned levels)
{
    const unsigned size = 1u << levels;
    static const uint32_t mask[3] = {0x55555555u, 0x33333333u, 0x0F0F0F0Fu};
    EC_UNROLL for (unsigned level = 0; level < levels; level++)
    {
        const unsigned apart = 1u << level;
        EC_UNROLL for (unsigned p = 0; p < size; p++)
        {
            if (p & apart)
                continue;
            uint32_t differ = ((row[p] >> apart) ^ row[p + apart]) & mask[level];
            row[p] ^= differ << apart;
            row[p + apart] ^= differ;
        }
    }
}

/* -- planes ------------------------------------------------------------------------------------------ */

/* Bit i of byte b of plane p to bit p of byte b of row i: a byte is the number of synapse 8 b + i. */
EC_APART void transpose_bytes(uint32_t *row)
{
    transpose(row, 3);
}

static void rows_of(const ec_rho *rho, uint32_t *row)
{
    for (unsigned p = 0; p < 8; p++)
        row[7 - p] = rho->plane[p];
    transpose_bytes(row);
}

static void planes_of(uint32_t *row, ec_rho *rho)
{
    transpose_bytes(row);
    for (unsigned p = 0; p < 8; p++)
        rho->plane[p] = row[7 - p];
}

void ec_rho_pack(ec_rho *rho, const uint8_t *bytes)
{
    uint32_t row[8];
    for (unsigned i = 0; i < 8; i++)
        row[i] = bytes[i] | (uint32_t)bytes[i + 8] << 8 | (uint32_t)bytes[i + 16] << 16 |
                 (uint32_t)bytes[i + 24] << 24;
    planes_of(row, rho);
}

void ec_rho_unpack(const ec_rho *rho, uint8_t *bytes)
{
    uint32_t row[8];
    rows_of(rho, row);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(row[i % 8] >> (i / 8 * 8));
}

/* -- the gradient ------------------------------------------------------------------------------------ */

/* Members whose synapses of a word are added up at once, by halves: sum[h][b] is of the ranks of those
 * of half h that b has a bit for, so that a synapse gets the two sums that say who has it. */
#define HALF 4u
#define FEW  (2u * HALF)
#define LAST ((1u << HALF) - 1u)

typedef struct {
    int32_t sum[2][LAST + 1u];
    int32_t rank[FEW];
    uint32_t theta[FEW];
} few_members;

/* theta is lost. */
EC_APART void add_few(few_members *few, int32_t *gradient)
{
    for (unsigned h = 0; h < 2; h++) {
        int32_t *sum = few->sum[h];
        sum[0] = 0;
        EC_UNROLL for (unsigned k = 0; k < HALF; k++)
        {
            const unsigned size = 1u << k;
            EC_UNROLL for (unsigned i = 0; i < size; i++) sum[size + i] = sum[i] + few->rank[HALF * h + k];
        }
    }
    transpose_bytes(few->theta);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t theta = few->theta[i];
        EC_UNROLL for (unsigned j = 0; j < 32; j += 8)
            gradient[i + j] += few->sum[0][theta >> j & LAST] + few->sum[1][theta >> (j + HALF) & LAST];
    }
}

/* `count` members from `first` on, which are kept. */
static void read_few(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t first,
                     unsigned count, few_members *few)
{
    const uint32_t *kept = evolve->members + first * evolve->n_words + word;
    const uint32_t inverted = in_image(evolve, word, 0);
    for (unsigned k = 0; k < count; k++) {
        few->rank[k] = ranks[first + k];
        few->theta[k] = kept[k * evolve->n_words] ^ inverted;
    }
}

/* The same, drawn again. */
EC_APART void draw_few(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t first,
                       unsigned count, few_members *few)
{
    const schedule key = schedule_of(evolve->seed, evolve->generation);
    const uint32_t *plane = evolve->rho[word].plane;
    const rests rest = rests_of(plane);
    for (unsigned k = 0; k < count; k++) {
        few->rank[k] = ranks[first + k];
        few->theta[k] = few->rank[k] == 0 ? 0 : sample(plane, &rest, &key, first + k, word);
    }
}

void ec_evolve_gradient(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t population,
                        int32_t *gradient)
{
    EC_UNROLL for (unsigned i = 0; i < 32; i++) gradient[i] = 0;
    for (uint32_t first = 0; first < population; first += FEW) {
        few_members few;
        unsigned count = population - first < FEW ? (unsigned)(population - first) : FEW;
        if (first + count <= evolve->kept)
            read_few(evolve, word, ranks, first, count, &few);
        else
            draw_few(evolve, word, ranks, first, count, &few);
        for (; count < FEW; count++) {
            few.rank[count] = 0;
            few.theta[count] = 0;
        }
        add_few(&few, gradient);
    }
}

int32_t ec_rank(const int32_t *fitness, uint32_t population, uint32_t k)
{
    int32_t rank = 0;
    for (uint32_t j = 0; j < population; j++)
        rank += (fitness[j] < fitness[k]) - (fitness[j] > fitness[k]);
    return rank;
}

void ec_ranks(const int32_t *fitness, uint32_t population, int32_t *ranks)
{
    for (uint32_t k = 0; k < population; k++)
        ranks[k] = ec_rank(fitness, population, k);
}

/* -- the update -------------------------------------------------------------------------------------- */

void ec_update_rho16(uint16_t *rho, const int32_t *gradient, uint32_t count, uint32_t step)
{
    const int64_t low = (int64_t)EC_RHO16_LOW << 16, high = (int64_t)EC_RHO16_HIGH << 16;
    for (uint32_t i = 0; i < count; i++) {
        int64_t moved = (int64_t)step * gradient[i] + ((uint32_t)rho[i] << 16 | 0x8000u);
        rho[i] = (uint16_t)((moved < low ? low : moved > high ? high : moved) >> 16);
    }
}

/* The high word of a sum with 24 bits behind the point says whether it is within 0 ... 255. */
EC_INLINE uint8_t moved_rho8(uint32_t rho, int32_t gradient, uint32_t step, uint32_t random)
{
    int64_t moved = (int64_t)step * gradient + (rho << 24 | (random & 0xFFFFFFu));
    if ((uint64_t)moved >> 32 != 0)
        return moved < 0 ? EC_RHO8_LOW : EC_RHO8_HIGH;
    uint8_t within = (uint8_t)((uint32_t)moved >> 24);
    return within < EC_RHO8_LOW ? EC_RHO8_LOW : within;
}

void ec_update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step, uint32_t seed,
                    uint32_t generation, uint32_t first)
{
    schedule key = schedule_of(seed, generation);
    for (uint32_t i = 0; i < count; i += 2) {
        ec_random_pair random = draw(&key, (first + i) / 2u, ROUNDING_STREAM);
        rho[i] = moved_rho8(rho[i], gradient[i], step, random.x0);
        if (i + 1u < count)
            rho[i + 1] = moved_rho8(rho[i + 1], gradient[i + 1], step, random.x1);
    }
}

/* Byte b of row i is synapse 8 b + i's. */
EC_APART void update_rows(const ec_evolve *evolve, uint32_t word, const int32_t *gradient, uint32_t *row)
{
    const schedule key = schedule_of(evolve->seed, evolve->generation);
    for (unsigned i = 0; i < 8; i += 2) {
        uint32_t even = row[i], odd = row[i + 1];
        for (unsigned s = i; s < 32; s += 8) {
            ec_random_pair random = draw(&key, (32u * word + s) / 2u, ROUNDING_STREAM);
            even = even >> 8 | (uint32_t)moved_rho8(even & 0xFFu, gradient[s], evolve->step, random.x0) << 24;
            odd = odd >> 8 | (uint32_t)moved_rho8(odd & 0xFFu, gradient[s + 1], evolve->step, random.x1) << 24;
        }
        row[i] = even;
        row[i + 1] = odd;
    }
}

void ec_evolve_update(ec_evolve *evolve, uint32_t first, uint32_t count, const int32_t *ranks,
                      uint32_t population)
{
    for (uint32_t word = first; word < first + count; word++) {
        int32_t gradient[32];
        uint32_t row[8];
        ec_evolve_gradient(evolve, word, ranks, population, gradient);
        rows_of(&evolve->rho[word], row);
        update_rows(evolve, word, gradient, row);
        planes_of(row, &evolve->rho[word]);
    }
}

void ec_evolve_place(ec_evolve *evolve, const ec_spec *spec, void *memory)
{
    uint32_t words = spec->n_neurons / 32u;
    uint32_t inputs = 2u * spec->n_obs;
    bool complements = spec->form == EC_FORM_EXCITATORY_INHIBITORY;
    uint32_t excite = complements ? spec->n_exc : spec->n_neurons;
    *evolve = (ec_evolve){
        .rho = memory,
        .n_words = (inputs + spec->n_neurons + spec->n_act) * words,
        .inhibiting = (inputs + excite) * words,
        .inhibiting_end = (inputs + spec->n_neurons) * words,
    };
}

int ec_evolve_init(ec_evolve *evolve, const ec_spec *spec, void *memory, uint32_t size)
{
    if (ec_spec_check(spec) != 0)
        return EC_ERR_FIELD;
    if (size < EC_EVOLVE_MEMORY(spec->n_neurons, spec->n_act, spec->n_obs))
        return EC_ERR_CAPACITY;
    ec_evolve_place(evolve, spec, memory);
    for (uint32_t word = 0; word < evolve->n_words; word++)
        evolve->rho[word] = (ec_rho){{0xFFFFFFFFu}};
    return 0;
}

/* -- a host's ---------------------------------------------------------------------------------------- */

static uint32_t plane16(const uint16_t *rho, unsigned p)
{
    uint32_t plane = 0;
    for (unsigned i = 0; i < 32; i++)
        plane |= (((uint32_t)rho[i] >> (15u - p)) & 1u) << i;
    return plane;
}

uint32_t ec_sample_word16(const uint16_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                          uint32_t word)
{
    schedule key = schedule_of(seed, generation);
    uint32_t theta = 0;
    uint32_t undecided = 0xFFFFFFFFu;
    for (unsigned p = 0; p < 16 && undecided; p += 2) {
        ec_random_pair random = draw(&key, word, 8u * member + p / 2u);
        compare(&theta, &undecided, random.x0, plane16(rho, p));
        compare(&theta, &undecided, random.x1, plane16(rho, p + 1));
    }
    return theta;
}
