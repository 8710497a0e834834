#include "ec_batch.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "pool.h"
#include "signals.h"

#if defined(__x86_64__)
#include "cpu_x86.h"
#endif

struct ec_batch {
    ec_layout layout;
    const ec_kernel *kernel;
    ec_pool *pool;
    uint32_t population;
    uint8_t *members;     /* population x layout.member_size */
    uint64_t *excitatory; /* layout.excitatory */
    ec_channel *map;      /* layout.map */
    float *counts_per_unit; /* n_obs: of the map's exponents */
    ec_limit *limits;     /* n_act: what acting keeps the outputs to */
    int16_t *applied;     /* population x n_act: the outputs that were acted on last */
    uint32_t *rho_planes; /* 16 x rho_stride */
    uint32_t rho_stride;
    uint32_t *scratch;    /* threads x 5 x rho_stride */
    uint64_t *spikes;     /* population: since the batch was made */
    uint64_t *steps;      /* population: control steps */
};

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)

static bool has_avx2(void)
{
    return cpu_has(CPU_AVX2 | CPU_BMI1 | CPU_BMI2, CPU_SAVES_YMM);
}

static bool has_avx512(void)
{
    return cpu_has(CPU_AVX512F | CPU_AVX512BW | CPU_AVX512VL | CPU_AVX512DQ | CPU_BMI1 | CPU_BMI2,
                   CPU_SAVES_ZMM);
}

#endif

/* Best first. The questions are asked here, in code that every processor can run. */
static const struct {
    const ec_kernel *kernel;
    bool (*supported)(void);
} kernels[] = {
#if defined(__x86_64__)
    {&ec_kernel_avx512, has_avx512},
    {&ec_kernel_avx2, has_avx2},
#endif
    {&ec_kernel_baseline, always},
};

#define N_KERNELS (sizeof kernels / sizeof kernels[0])

static const ec_kernel *supported_kernel(uint32_t index)
{
    for (size_t k = 0; k < N_KERNELS; k++) {
        if (kernels[k].supported() && index-- == 0)
            return kernels[k].kernel;
    }
    return NULL;
}

const char *ec_batch_kernel_name(uint32_t index)
{
    const ec_kernel *kernel = supported_kernel(index);
    return kernel ? kernel->name : NULL;
}

const ec_kernel *ec_kernel_named(const char *name)
{
    const ec_kernel *kernel = NULL;
    for (uint32_t k = 0; (kernel = supported_kernel(k)) != NULL; k++) {
        if (!name || strcmp(kernel->name, name) == 0)
            break;
    }
    return kernel;
}

static uint32_t round_up(uint32_t x, uint32_t to)
{
    return (x + to - 1) / to * to;
}

static ec_layout lay_out(const ec_spec *spec, uint32_t widest_row)
{
    ec_layout layout = {.spec = *spec, .row_bits = 128};
    while (layout.row_bits < spec->n_neurons && layout.row_bits < widest_row)
        layout.row_bits *= 2;
    layout.lanes = round_up(spec->n_neurons, layout.row_bits);
    layout.stride = layout.lanes / 32;
    layout.n_rows = 2u * spec->n_obs + spec->n_neurons + spec->n_act;
    layout.n_words = layout.n_rows * (spec->n_neurons / 32u);
    /* A vector of slack: samples are written, and weighed bits are read, a vector at a time. */
    layout.spikes_at = round_up(4 * layout.n_rows * layout.stride, EC_ALIGN) + EC_ALIGN;
    layout.current_at = round_up(layout.spikes_at + layout.lanes / 8, EC_ALIGN);
    layout.membrane_at = layout.current_at + round_up(layout.lanes, EC_ALIGN);
    layout.drive_at = layout.membrane_at + round_up(layout.lanes, EC_ALIGN);
    layout.output_at = layout.drive_at + round_up(layout.lanes, EC_ALIGN);
    layout.member_size = round_up(layout.output_at + 2u * spec->n_act, EC_ALIGN);
    return layout;
}

static void *allocate(size_t count, size_t size)
{
    size_t bytes = (count * size + EC_ALIGN - 1) / EC_ALIGN * EC_ALIGN;
    void *memory = aligned_alloc(EC_ALIGN, bytes ? bytes : EC_ALIGN);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

static uint8_t *member_at(const ec_batch *batch, uint32_t member)
{
    return batch->members + (size_t)member * batch->layout.member_size;
}

static int16_t *applied_at(const ec_batch *batch, uint32_t member)
{
    return batch->applied + (size_t)member * batch->layout.spec.n_act;
}

ec_batch *ec_batch_create(const ec_spec *spec, uint32_t population, uint32_t threads, const char *name)
{
    const ec_kernel *kernel = ec_kernel_named(name);
    if (!kernel || ec_spec_check(spec) != 0 || population == 0)
        return NULL;
    ec_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->kernel = kernel;
    batch->layout = lay_out(spec, kernel->widest_row);
    batch->population = population;
    ec_layout *layout = &batch->layout;
    /* Vectors are written beyond the last word. */
    batch->rho_stride = round_up(layout->n_words, 16) + 16;
    batch->pool = ec_pool_create(threads);
    uint32_t workers = batch->pool ? ec_pool_threads(batch->pool) : 1;
    batch->members = allocate(population, layout->member_size);
    batch->excitatory = allocate(layout->stride / 2, sizeof *batch->excitatory);
    batch->map = allocate(spec->n_obs, sizeof *batch->map);
    batch->counts_per_unit = allocate(spec->n_obs, sizeof *batch->counts_per_unit);
    batch->limits = allocate(spec->n_act, sizeof *batch->limits);
    batch->applied = allocate(population, spec->n_act * sizeof *batch->applied);
    batch->rho_planes = allocate(16, 4 * (size_t)batch->rho_stride);
    batch->scratch = allocate(workers, 20 * (size_t)batch->rho_stride);
    batch->spikes = allocate(population, sizeof *batch->spikes);
    batch->steps = allocate(population, sizeof *batch->steps);
    if (!batch->pool || !batch->members || !batch->excitatory || !batch->map ||
        !batch->counts_per_unit || !batch->limits || !batch->applied || !batch->rho_planes ||
        !batch->scratch || !batch->spikes || !batch->steps) {
        ec_batch_destroy(batch);
        return NULL;
    }
    for (uint32_t i = 0; i < spec->n_exc; i++)
        batch->excitatory[i / 64] |= (uint64_t)1 << i % 64;
    for (uint32_t i = 0; i < spec->n_act; i++)
        batch->limits[i] = (ec_limit)EC_LIMIT_NONE;
    layout->excitatory = batch->excitatory;
    layout->map = batch->map;
    ec_batch_reset(batch, NULL);
    return batch;
}

void ec_batch_destroy(ec_batch *batch)
{
    if (!batch)
        return;
    ec_pool_destroy(batch->pool);
    free(batch->members);
    free(batch->excitatory);
    free(batch->map);
    free(batch->counts_per_unit);
    free(batch->limits);
    free(batch->applied);
    free(batch->rho_planes);
    free(batch->scratch);
    free(batch->spikes);
    free(batch->steps);
    free(batch);
}

const char *ec_batch_kernel(const ec_batch *batch)
{
    return batch->kernel->name;
}

int ec_batch_map(ec_batch *batch, const ec_channel *map)
{
    for (uint32_t i = 0; i < batch->layout.spec.n_obs; i++) {
        if (map[i].multiplier > 32767 || map[i].shift > 16)
            return EC_ERR_FIELD;
    }
    memcpy(batch->map, map, batch->layout.spec.n_obs * sizeof *map);
    for (uint32_t i = 0; i < batch->layout.spec.n_obs; i++)
        batch->counts_per_unit[i] = ec_counts_per_unit(map[i].exponent);
    return 0;
}

int ec_batch_limit(ec_batch *batch, const ec_limit *limits)
{
    for (uint32_t i = 0; i < batch->layout.spec.n_act; i++) {
        if (limits[i].low > limits[i].high)
            return EC_ERR_FIELD;
    }
    memcpy(batch->limits, limits, batch->layout.spec.n_act * sizeof *limits);
    return 0;
}

/* The first and last inhibitory row of the stack, which members hold complemented. */
static bool row_complemented(const ec_layout *layout, uint32_t row)
{
    uint32_t first = 2u * layout->spec.n_obs;
    return row >= first + layout->spec.n_exc && row < first + layout->spec.n_neurons;
}

static void copy_words(uint32_t *to, const uint32_t *from, uint32_t n, uint32_t flip)
{
    for (uint32_t w = 0; w < n; w++)
        to[w] = from[w] ^ flip;
}

static void place_synapses(const ec_layout *layout, uint8_t *member, const uint32_t *synapses)
{
    uint32_t words = layout->spec.n_neurons / 32u;
    uint32_t *row = (uint32_t *)(void *)member;
    for (uint32_t r = 0; r < layout->n_rows; r++, row += layout->stride, synapses += words)
        copy_words(row, synapses, words, row_complemented(layout, r) ? 0xFFFFFFFFu : 0);
}

int ec_batch_load(ec_batch *batch, uint32_t member, const uint32_t *synapses)
{
    if (member >= batch->population)
        return EC_ERR_ARGUMENT;
    place_synapses(&batch->layout, member_at(batch, member), synapses);
    return 0;
}

int ec_batch_store(const ec_batch *batch, uint32_t member, uint32_t *synapses)
{
    const ec_layout *layout = &batch->layout;
    if (member >= batch->population)
        return EC_ERR_ARGUMENT;
    uint32_t words = layout->spec.n_neurons / 32u;
    const uint32_t *row = (const void *)member_at(batch, member);
    for (uint32_t r = 0; r < layout->n_rows; r++, row += layout->stride) {
        uint32_t flip = row_complemented(layout, r) ? 0xFFFFFFFFu : 0;
        for (uint32_t w = 0; w < words; w++)
            *synapses++ = row[w] ^ flip;
    }
    return 0;
}

/* Sampling */

typedef struct {
    ec_batch *batch;
    const uint16_t *rho16;
    const uint8_t *rho8;
    ec_rho_planes rho;
    uint32_t seed, generation, first;
} sampling;

#define SLICE 2048 /* synapses that one thread slices at a time */

static void slice_rho(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    const sampling *job = context;
    ec_batch *batch = job->batch;
    for (uint32_t part = first; part < end; part++) {
        uint32_t at = part * SLICE, left = 32 * batch->layout.n_words - at;
        batch->kernel->slice(job->rho16, job->rho8, batch->rho_planes, batch->rho_stride, at,
                             left < SLICE ? left : SLICE);
    }
}

static void sample_members(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    const sampling *job = context;
    ec_batch *batch = job->batch;
    uint32_t *synapses = batch->scratch + (size_t)worker * 5 * batch->rho_stride;
    const ec_layout *layout = &batch->layout;
    const ec_spec *spec = &layout->spec;
    const bool in_place = layout->stride == spec->n_neurons / 32u; /* rows without filling */
    for (uint32_t k = first; k < end; k++) {
        uint8_t *member = member_at(batch, k);
        uint32_t *rows = (uint32_t *)(void *)member;
        batch->kernel->sample(&job->rho, layout->n_words, job->seed, job->generation, job->first + k,
                              in_place ? rows : synapses, synapses + batch->rho_stride);
        if (in_place) {
            uint32_t *inhibitory = rows + (2u * spec->n_obs + spec->n_exc) * layout->stride;
            copy_words(inhibitory, inhibitory, (spec->n_neurons - spec->n_exc) * layout->stride,
                       0xFFFFFFFFu);
        } else {
            place_synapses(layout, member, synapses);
        }
    }
}

int ec_batch_sample(ec_batch *batch, const uint16_t *rho16, const uint8_t *rho8, uint32_t seed,
                    uint32_t generation, uint32_t first)
{
    if (!rho16 == !rho8 || (uint64_t)first + batch->population > 1u << 28)
        return EC_ERR_ARGUMENT;
    sampling job = {
        .batch = batch,
        .rho16 = rho16,
        .rho8 = rho8,
        .rho = {.plane = batch->rho_planes, .stride = batch->rho_stride, .planes = rho16 ? 16 : 8},
        .seed = seed,
        .generation = generation,
        .first = first,
    };
    ec_pool_run(batch->pool, slice_rho, &job, round_up(32 * batch->layout.n_words, SLICE) / SLICE, 1);
    ec_pool_run(batch->pool, sample_members, &job, batch->population, 1);
    return 0;
}

/* Gradient */

typedef struct {
    const ec_batch *batch;
    ec_weighted_members members;
    int32_t *gradient;
} weighing;

static void weigh_blocks(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    const weighing *job = context;
    const ec_layout *layout = &job->batch->layout;
    uint32_t words = layout->spec.n_neurons / 32u;
    for (uint32_t block = first; block < end; block++) {
        int32_t sums[EC_WEIGH_BLOCK];
        uint32_t offset = block * (EC_WEIGH_BLOCK / 32);
        job->batch->kernel->weigh(&job->members, offset, sums);
        for (uint32_t w = 0; w < EC_WEIGH_BLOCK / 32; w++) {
            uint32_t row = (offset + w) / layout->stride, column = (offset + w) % layout->stride;
            if (row >= layout->n_rows || column >= words)
                continue;
            /* The ranks sum to 0, so a complemented bit weighs minus what the plain one does. */
            bool flip = row_complemented(layout, row);
            int32_t *gradient = job->gradient + 32 * (row * words + column);
            for (unsigned i = 0; i < 32; i++)
                gradient[i] = flip ? -sums[32 * w + i] : sums[32 * w + i];
        }
    }
}

int ec_batch_gradient(ec_batch *batch, const int32_t *ranks, int32_t *gradient)
{
    int64_t sum = 0;
    for (uint32_t k = 0; k < batch->population; k++) {
        if (ranks[k] <= -(1 << EC_WEIGHT_BITS) || ranks[k] >= 1 << EC_WEIGHT_BITS)
            return EC_ERR_ARGUMENT;
        sum += ranks[k];
    }
    if (sum != 0 || batch->population >= 1u << EC_WEIGHT_BITS)
        return EC_ERR_ARGUMENT;

    weighing job = {.batch = batch, .gradient = gradient};
    const uint32_t **lists = malloc(2 * EC_WEIGHT_BITS * batch->population * sizeof *lists);
    if (!lists)
        return EC_ERR_CAPACITY;
    ec_weighted_members *members = &job.members;
    /* All weights' bits up to b sum to less than population * 2^(b + 1). add_rows wants 4 planes. */
    for (members->carry_planes = 4; batch->population >> (members->carry_planes - 1);)
        members->carry_planes++;
    for (uint32_t list = 0; list < 2 * EC_WEIGHT_BITS; list++)
        members->rows[list / EC_WEIGHT_BITS][list % EC_WEIGHT_BITS] = lists + list * batch->population;
    for (uint32_t k = 0; k < batch->population; k++) {
        unsigned negative = ranks[k] < 0;
        uint32_t magnitude = (uint32_t)(negative ? -ranks[k] : ranks[k]);
        members->start -= negative ? (int32_t)magnitude : 0;
        for (unsigned b = 0; b < EC_WEIGHT_BITS; b++) {
            if (magnitude >> b & 1)
                members->rows[negative][b][members->count[negative][b]++] =
                    (const void *)member_at(batch, k);
        }
    }
    uint32_t rows_words = batch->layout.n_rows * batch->layout.stride;
    uint32_t blocks = round_up(rows_words, EC_WEIGH_BLOCK / 32) / (EC_WEIGH_BLOCK / 32);
    ec_pool_run(batch->pool, weigh_blocks, &job, blocks, 4);
    free(lists);
    return 0;
}

/* Stepping */

typedef struct {
    ec_batch *batch;
    const uint8_t *which;
    const int16_t *raw;
    int16_t *output;
} stepping;

static void reset_members(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    const stepping *job = context;
    const ec_layout *layout = &job->batch->layout;
    for (uint32_t k = first; k < end; k++) {
        if (job->which && !job->which[k])
            continue;
        uint8_t *member = member_at(job->batch, k);
        memset(member + layout->spikes_at, 0, layout->member_size - layout->spikes_at);
        memset(applied_at(job->batch, k), 0, layout->spec.n_act * sizeof(int16_t));
        for (uint32_t i = 0; i < layout->spec.n_neurons; i++)
            member[layout->membrane_at + i] = (uint8_t)(37u * i % 64u);
    }
}

/* While one member computes, the next one's synapses come nearer: only a part of them will be read, but
 * which part is known too late. */
static void prefetch(const uint8_t *member, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += EC_ALIGN)
        __builtin_prefetch(member + at, 0, 2);
}

/* One step of member k, while member k + 1, if there is one before `end`, is fetched. */
static const int16_t *step_member(ec_batch *batch, uint32_t k, uint32_t end, const int16_t *raw)
{
    const ec_layout *layout = &batch->layout;
    uint8_t *member = member_at(batch, k);
    if (k + 1 < end)
        prefetch(member + layout->member_size, layout->member_size);
    batch->spikes[k] += batch->kernel->step(layout, member, raw);
    batch->steps[k]++;
    return (const void *)(member + layout->output_at);
}

static void step_members(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    const stepping *job = context;
    const ec_spec *spec = &job->batch->layout.spec;
    for (uint32_t k = first; k < end; k++) {
        if (job->which && !job->which[k])
            continue;
        const int16_t *output = step_member(job->batch, k, end, job->raw + (size_t)k * spec->n_obs);
        memcpy(job->output + (size_t)k * spec->n_act, output, 2u * spec->n_act);
    }
}

int ec_batch_reset(ec_batch *batch, const uint8_t *which)
{
    stepping job = {.batch = batch, .which = which};
    ec_pool_run(batch->pool, reset_members, &job, batch->population, 64);
    return 0;
}

int ec_batch_step(ec_batch *batch, const int16_t *raw, const uint8_t *active, int16_t *output)
{
    stepping job = {.batch = batch, .which = active, .raw = raw, .output = output};
    ec_pool_run(batch->pool, step_members, &job, batch->population, 8);
    return 0;
}

/* Acting: a step between a task's floats. */

#define OBSERVATIONS_MOST 1024 /* that ec_spec_check allows */

typedef struct {
    ec_batch *batch;
    uint32_t base; /* the member that row 0 of the arrays is */
    const double *observations;
    const uint8_t *active;
    const float *low, *high;
    float *continuous;
    int64_t *discrete;
    bool refused; /* set by any thread, read when all are done */
} acting;

static bool encode(const ec_batch *batch, const double *observation, int16_t *raw)
{
    for (uint32_t i = 0; i < batch->layout.spec.n_obs; i++) {
        if (!ec_is_finite(observation[i]))
            return false;
        raw[i] = ec_encode(observation[i], batch->counts_per_unit[i]);
    }
    return true;
}

static void act_members(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    acting *job = context;
    const ec_spec *spec = &job->batch->layout.spec;
    int16_t raw[OBSERVATIONS_MOST];
    for (uint32_t row = first; row < end; row++) {
        if (!job->active[row])
            continue;
        if (!encode(job->batch, job->observations + (size_t)row * spec->n_obs, raw)) {
            __atomic_store_n(&job->refused, true, __ATOMIC_RELAXED);
            return;
        }
        uint32_t member = job->base + row;
        const int16_t *output = step_member(job->batch, member, job->base + end, raw);
        int16_t *applied = applied_at(job->batch, member);
        for (uint32_t i = 0; i < spec->n_act; i++)
            applied[i] = ec_limit_output(&job->batch->limits[i], output[i], applied[i]);
        if (job->discrete)
            job->discrete[row] = ec_choose(applied, spec->n_act);
        for (uint32_t i = 0; job->continuous && i < spec->n_act; i++)
            job->continuous[(size_t)row * spec->n_act + i] = ec_decode(applied[i], job->low[i], job->high[i]);
    }
}

int ec_batch_act(ec_batch *batch, uint32_t first, uint32_t count, const double *observations,
                 const uint8_t *active, const float *low, const float *high, float *continuous,
                 int64_t *discrete)
{
    if (first > batch->population || count > batch->population - first || !continuous == !discrete)
        return EC_ERR_ARGUMENT;
    acting job = {
        .batch = batch,
        .base = first,
        .observations = observations,
        .active = active,
        .low = low,
        .high = high,
        .continuous = continuous,
        .discrete = discrete,
    };
    if (count == batch->population)
        ec_pool_run(batch->pool, act_members, &job, count, 8);
    else
        act_members(&job, 0, count, 0);
    return job.refused ? EC_ERR_NOT_FINITE : 0;
}

int ec_batch_state(const ec_batch *batch, uint32_t member, uint8_t *state)
{
    const ec_layout *layout = &batch->layout;
    if (member >= batch->population)
        return EC_ERR_ARGUMENT;
    const uint8_t *m = member_at(batch, member);
    uint32_t n = layout->spec.n_neurons;
    memcpy(state, m + layout->current_at, n);
    memcpy(state + n, m + layout->membrane_at, n);
    memcpy(state + 2 * n, m + layout->spikes_at, n / 8);
    memcpy(state + 2 * n + n / 8, m + layout->output_at, 2u * layout->spec.n_act);
    return 0;
}

int ec_batch_activity(const ec_batch *batch, uint64_t *spikes, uint64_t *neuron_substeps)
{
    const ec_spec *spec = &batch->layout.spec;
    *spikes = *neuron_substeps = 0;
    for (uint32_t k = 0; k < batch->population; k++) {
        *spikes += batch->spikes[k];
        *neuron_substeps += batch->steps[k] * spec->substeps * spec->n_neurons;
    }
    return 0;
}
