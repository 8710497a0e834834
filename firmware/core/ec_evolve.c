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

/* -- the gradient ------------------------------------------------------------------------------------ */

/* Members whose synapses of a word are added up at once: sum[b] is of the ranks of those that b has a
 * bit for, so that a synapse gets the one sum that says who has it. */
#define FEW_LEVELS 2u
#define FEW        (1u << FEW_LEVELS)
#define LAST       ((1u << FEW) - 1u)

typedef struct {
    int32_t sum[LAST + 1u];
    int32_t rank[FEW];
    uint32_t theta[FEW];
} few_members;

/* theta is lost. */
EC_APART void add_few(few_members *few, int32_t *gradient)
{
    few->sum[0] = 0;
    EC_UNROLL for (unsigned k = 0; k < FEW; k++)
    {
        const unsigned half = 1u << k;
        EC_UNROLL for (unsigned i = 0; i < half; i++) few->sum[half + i] = few->sum[i] + few->rank[k];
    }
    transpose(few->theta, FEW_LEVELS);
    for (unsigned i = 0; i < FEW; i++) {
        uint32_t theta = few->theta[i];
        EC_UNROLL for (unsigned j = 0; j < 32; j += FEW) gradient[i + j] += few->sum[theta >> j & LAST];
    }
}

static void gradient_of(const ec_rho *rho, const schedule *key, uint32_t word, const int32_t *ranks,
                        uint32_t population, int32_t *gradient)
{
    rests rest = rests_of(rho->plane);
    few_members few = {.theta = {0}};
    unsigned n = 0;
    for (unsigned i = 0; i < 32; i++)
        gradient[i] = 0;
    for (uint32_t member = 0; member < population; member++) {
        if (!ranks[member])
            continue;
        few.theta[n] = sample(rho->plane, &rest, key, member, word);
        few.rank[n] = ranks[member];
        n = (n + 1u) % FEW;
        if (n == 0)
            add_few(&few, gradient);
    }
    if (n == 0)
        return;
    for (; n < FEW; n++)
        few.rank[n] = 0;
    add_few(&few, gradient);
}

void ec_evolve_gradient(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t population,
                        int32_t *gradient)
{
    schedule key = schedule_of(evolve->seed, evolve->generation);
    gradient_of(&evolve->rho[word], &key, word, ranks, population, gradient);
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

static void update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step,
                        const schedule *key, uint32_t first)
{
    ec_random_pair random = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            random = draw(key, (first + i) / 2u, ROUNDING_STREAM);
        uint32_t uniform = (i % 2 ? random.x1 : random.x0) & 0xFFFFFFu;
        int64_t moved = rho[i] + scaled_step(step, gradient[i], uniform, 24);
        rho[i] = (uint8_t)clamp64(moved, EC_RHO8_LOW, EC_RHO8_HIGH);
    }
}

void ec_update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step, uint32_t seed,
                    uint32_t generation, uint32_t first)
{
    schedule key = schedule_of(seed, generation);
    update_rho8(rho, gradient, count, step, &key, first);
}

void ec_evolve_update(ec_evolve *evolve, uint32_t first, uint32_t count, const int32_t *ranks,
                      uint32_t population)
{
    schedule key = schedule_of(evolve->seed, evolve->generation);
    for (uint32_t word = first; word < first + count; word++) {
        int32_t gradient[32];
        uint8_t bytes[32];
        gradient_of(&evolve->rho[word], &key, word, ranks, population, gradient);
        ec_rho_unpack(&evolve->rho[word], bytes);
        update_rho8(bytes, gradient, 32, evolve->step, &key, 32u * word);
        ec_rho_pack(&evolve->rho[word], bytes);
    }
}

/* -- planes ------------------------------------------------------------------------------------------ */

/* Bit i of byte b of plane p to bit p of byte b of row i: a byte is the number of synapse 8 b + i. */
EC_APART void transpose_bytes(uint32_t *row)
{
    transpose(row, 3);
}

void ec_rho_pack(ec_rho *rho, const uint8_t *bytes)
{
    uint32_t row[8];
    for (unsigned i = 0; i < 8; i++)
        row[i] = bytes[i] | (uint32_t)bytes[i + 8] << 8 | (uint32_t)bytes[i + 16] << 16 |
                 (uint32_t)bytes[i + 24] << 24;
    transpose_bytes(row);
    for (unsigned p = 0; p < 8; p++)
        rho->plane[p] = row[7 - p];
}

void ec_rho_unpack(const ec_rho *rho, uint8_t *bytes)
{
    uint32_t row[8];
    for (unsigned p = 0; p < 8; p++)
        row[7 - p] = rho->plane[p];
    transpose_bytes(row);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(row[i % 8] >> (i / 8 * 8));
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
