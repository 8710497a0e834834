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

/* 32 synapses of a member: two planes a draw, until every lane is decided. */
EC_INLINE uint32_t sample(const uint32_t *plane, const rests *rest, const schedule *key, uint32_t member,
                          uint32_t word)
{
    uint32_t theta = 0;
    uint32_t undecided = 0xFFFFFFFFu;
    uint32_t counter = 8u * member;
    const uint32_t *after = rest->after;
    do {
        ec_random_pair random = draw(key, word, counter++);
        uint32_t differ = (random.x0 ^ plane[0]) & undecided;
        theta |= differ & plane[0];
        undecided ^= differ;
        differ = (random.x1 ^ plane[1]) & undecided;
        theta |= differ & plane[1];
        undecided ^= differ;
        plane += 2;
    } while (undecided & *after++);
    return theta;
}

void ec_evolve_sample(const ec_evolve *evolve, uint32_t member, uint32_t first, uint32_t count,
                      uint32_t *synapses)
{
    schedule key = schedule_of(evolve->seed, evolve->generation);
    for (uint32_t word = first; word < first + count; word++) {
        const uint32_t *plane = evolve->rho[word].plane;
        rests rest = rests_of(plane);
        uint32_t theta = sample(plane, &rest, &key, member, word);
        bool inhibits = word >= evolve->inhibiting && word < evolve->inhibiting_end;
        *synapses++ = inhibits ? ~theta : theta;
    }
}

/* -- the gradient ------------------------------------------------------------------------------------ */

/* 32 sums modulo 2^32 in planes, of rows that weigh a power of two each. A row waits until another
 * comes of its weight; then both are added and what they carry moves on, waiting or added in turn. So
 * the number of rows decides what is done, never their bits, and an added row costs one full adder. */
typedef struct {
    uint32_t sum[32];
    uint32_t waiting[32];
    uint32_t occupied; /* bit b: a row of weight 2^b waits */
} sums;

static void sums_add(sums *total, unsigned b, uint32_t row)
{
    uint32_t weight = (uint32_t)1 << b;
    while (total->occupied & weight) {
        row = ec_full_add(&total->sum[b], total->waiting[b], row);
        total->occupied ^= weight;
        weight <<= 1;
        if (!weight)
            return;
        b++;
    }
    total->waiting[b] = row;
    total->occupied |= weight;
}

/* Every rank in signed digits, as few as there can be: a third of its bits. A digit -1 adds the complement
 * and takes 2^b from all sums, for -theta = ~theta - 1. */
static void add_ranked(sums *total, int32_t rank, uint32_t theta, uint32_t *excess)
{
    uint32_t magnitude = rank < 0 ? 0u - (uint32_t)rank : (uint32_t)rank;
    uint32_t flip = rank < 0 ? 0xFFFFFFFFu : 0;
    uint32_t triple = 3u * magnitude;
    uint32_t digits = (triple ^ magnitude) >> 1;
    uint32_t negative = (magnitude & ~triple) >> 1;
    for (unsigned b = 0; digits; b++, digits >>= 1, negative >>= 1) {
        if (!(digits & 1u))
            continue;
        uint32_t complement = flip ^ (0u - (negative & 1u));
        *excess += (complement & 1u) << b;
        sums_add(total, b, theta ^ complement);
    }
}

/* Bit i of row p becomes bit p of row i. */
static void transpose(uint32_t *row)
{
    uint32_t mask = 0x0000FFFFu;
    for (unsigned j = 16; j; j >>= 1, mask ^= mask << j) {
        for (unsigned k = 0; k < 32; k = ((k | j) + 1) & ~j) {
            uint32_t differ = ((row[k] >> j) ^ row[k | j]) & mask;
            row[k] ^= differ << j;
            row[k | j] ^= differ;
        }
    }
}

/* The number with these 32 bits in two's complement. */
static int32_t signed32(uint32_t x)
{
    return x >> 31 ? -(int32_t)~x - 1 : (int32_t)x;
}

static void gradient_of(const ec_rho *rho, const schedule *key, uint32_t word, const int32_t *ranks,
                        uint32_t population, int32_t *gradient)
{
    rests rest = rests_of(rho->plane);
    sums total;
    for (unsigned b = 0; b < 32; b++)
        total.sum[b] = 0;
    total.occupied = 0;
    uint32_t excess = 0;
    for (uint32_t member = 0; member < population; member++) {
        if (ranks[member])
            add_ranked(&total, ranks[member], sample(rho->plane, &rest, key, member, word), &excess);
    }
    uint32_t carry = 0;
    for (unsigned b = 0; b < 32; b++) {
        uint32_t waiting = total.occupied >> b & 1u ? total.waiting[b] : 0;
        carry = ec_full_add(&total.sum[b], waiting, carry);
    }
    transpose(total.sum);
    for (unsigned i = 0; i < 32; i++)
        gradient[i] = signed32(total.sum[i] - excess);
}

void ec_evolve_gradient(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t population,
                        int32_t *gradient)
{
    schedule key = schedule_of(evolve->seed, evolve->generation);
    gradient_of(&evolve->rho[word], &key, word, ranks, population, gradient);
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

void ec_rho_pack(ec_rho *rho, const uint8_t *bytes)
{
    uint32_t row[32];
    for (unsigned i = 0; i < 32; i++)
        row[i] = bytes[i];
    transpose(row);
    for (unsigned p = 0; p < 8; p++)
        rho->plane[p] = row[7 - p];
}

void ec_rho_unpack(const ec_rho *rho, uint8_t *bytes)
{
    uint32_t row[32] = {0};
    for (unsigned p = 0; p < 8; p++)
        row[7 - p] = rho->plane[p];
    transpose(row);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)row[i];
}

int ec_evolve_init(ec_evolve *evolve, const ec_spec *spec, void *memory, uint32_t size)
{
    if (ec_spec_check(spec) != 0)
        return EC_ERR_FIELD;
    if (size < EC_EVOLVE_MEMORY(spec->n_neurons, spec->n_act, spec->n_obs))
        return EC_ERR_CAPACITY;
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
    for (uint32_t word = 0; word < evolve->n_words; word++)
        evolve->rho[word] = (ec_rho){{0xFFFFFFFFu}};
    return 0;
}

/* -- a host's ---------------------------------------------------------------------------------------- */

uint32_t ec_sample_word16(const uint16_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                          uint32_t word)
{
    schedule key = schedule_of(seed, generation);
    uint32_t theta = 0;
    uint32_t undecided = 0xFFFFFFFFu;
    for (unsigned p = 0; p < 16 && undecided; p += 2) {
        ec_random_pair random = draw(&key, word, 8u * member + p / 2u);
        for (unsigned half = 0; half < 2; half++) {
            uint32_t plane = 0;
            for (unsigned i = 0; i < 32; i++)
                plane |= ((rho[i] >> (15u - p - half)) & 1u) << i;
            uint32_t differ = ((half ? random.x1 : random.x0) ^ plane) & undecided;
            theta |= differ & plane;
            undecided ^= differ;
        }
    }
    return theta;
}
