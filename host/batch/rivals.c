#include "rivals.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "pool.h"

struct ec_rivals {
    ec_rival_shape shape;
    const ec_rival_model *model;
    ec_pool *pool;
    uint32_t population;
    size_t weight_bytes, state_bytes; /* of a member */
    size_t weight_stride;
    uint8_t *weights, *states;
    bool spiking;
    uint64_t *spikes, *substeps; /* population: since the batch was made */
};

uint32_t ec_rivals_weight_bytes(const ec_spec *spec, uint32_t model)
{
    const uint32_t n = spec->n_neurons, n_obs = spec->n_obs, n_act = spec->n_act;
    const uint32_t read_out = (n + 1) * n_act;
    switch (model) {
    case EC_RIVAL_RSNN:
        return 4 * (n_obs + n + n_act) * n;
    case EC_RIVAL_GRU:
        return 4 * ((n_obs + n + 1) * 3 * n + n + read_out);
    case EC_RIVAL_LSTM:
        return 4 * ((n_obs + n + 1) * 4 * n + read_out);
    case EC_RIVAL_MLP:
        return 4 * ((n_obs + n + 1) * n + n + read_out);
    case EC_RIVAL_FLOAT64:
    case EC_RIVAL_INT16:
        return (n_obs + n + n_act) * n;
    default:
        return 0;
    }
}

static bool spikes(uint32_t model)
{
    return model == EC_RIVAL_RSNN || model == EC_RIVAL_FLOAT64 || model == EC_RIVAL_INT16;
}

static size_t align(size_t bytes)
{
    return (bytes + EC_ALIGN - 1) / EC_ALIGN * EC_ALIGN;
}

static void *allocate(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        return NULL;
    size_t bytes = align(count * size + 1);
    void *memory = aligned_alloc(EC_ALIGN, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

ec_rivals *ec_rivals_create(const ec_spec *spec, uint32_t model, uint32_t fraction, uint32_t population,
                            uint32_t threads, const char *name)
{
    const ec_kernel *kernel = ec_kernel_named(name);
    if (!kernel || ec_spec_check(spec) != 0 || population == 0 || model >= EC_RIVAL_MODELS ||
        fraction > (model == EC_RIVAL_INT16 ? 8 : 0))
        return NULL;
    ec_rivals *rivals = calloc(1, sizeof *rivals);
    if (!rivals)
        return NULL;
    rivals->model = &kernel->rivals[model];
    rivals->spiking = spikes(model);
    rivals->population = population;
    rivals->shape = (ec_rival_shape){.spec = *spec, .fraction = fraction};
    /* An output vector is at most as long as one of 64 neurons. */
    uint32_t longest = spec->n_neurons > 64 ? spec->n_neurons : 64;
    rivals->shape.vector = (uint32_t)align((size_t)longest * rivals->model->number);
    rivals->state_bytes = align(3 * (size_t)rivals->shape.vector + 2 * (spec->n_neurons + 2u));
    rivals->weight_bytes = ec_rivals_weight_bytes(spec, model);
    rivals->weight_stride = align(rivals->weight_bytes);
    rivals->pool = ec_pool_create(threads);
    rivals->weights = allocate(population, rivals->weight_stride);
    rivals->states = allocate(population, rivals->state_bytes);
    rivals->spikes = allocate(population, sizeof *rivals->spikes);
    rivals->substeps = allocate(population, sizeof *rivals->substeps);
    if (!rivals->pool || !rivals->weights || !rivals->states || !rivals->spikes || !rivals->substeps) {
        ec_rivals_destroy(rivals);
        return NULL;
    }
    ec_rivals_reset(rivals);
    return rivals;
}

void ec_rivals_destroy(ec_rivals *rivals)
{
    if (!rivals)
        return;
    ec_pool_destroy(rivals->pool);
    free(rivals->weights);
    free(rivals->states);
    free(rivals->spikes);
    free(rivals->substeps);
    free(rivals);
}

int ec_rivals_load(ec_rivals *rivals, uint32_t member, const void *weights)
{
    if (member >= rivals->population)
        return EC_ERR_ARGUMENT;
    memcpy(rivals->weights + member * rivals->weight_stride, weights, rivals->weight_bytes);
    return 0;
}

int ec_rivals_reset(ec_rivals *rivals)
{
    memset(rivals->states, 0, rivals->population * rivals->state_bytes);
    for (uint32_t k = 0; k < rivals->population; k++)
        rivals->model->reset(&rivals->shape, rivals->states + k * rivals->state_bytes);
    return 0;
}

typedef struct {
    ec_rivals *rivals;
    uint32_t base; /* the member that row 0 of the arrays is */
    const double *input;
    const uint8_t *active;
    double *output;
} stepping;

static void step_members(void *context, uint32_t first, uint32_t end, uint32_t worker)
{
    (void)worker;
    const stepping *job = context;
    ec_rivals *rivals = job->rivals;
    const ec_spec *spec = &rivals->shape.spec;
    for (uint32_t k = first; k < end; k++) {
        size_t row = k - job->base;
        if (!job->active[row])
            continue;
        rivals->spikes[k] += rivals->model->step(
            &rivals->shape, rivals->weights + k * rivals->weight_stride,
            rivals->states + k * rivals->state_bytes, job->input + row * spec->n_obs,
            job->output + row * spec->n_act);
        rivals->substeps[k] += spec->substeps;
    }
}

int ec_rivals_step(ec_rivals *rivals, const double *input, const uint8_t *active, double *output)
{
    stepping job = {.rivals = rivals, .input = input, .active = active, .output = output};
    ec_pool_run(rivals->pool, step_members, &job, rivals->population, 4);
    return 0;
}

int ec_rivals_step_part(ec_rivals *rivals, uint32_t first, uint32_t count, const double *input,
                        const uint8_t *active, double *output)
{
    if (first > rivals->population || count > rivals->population - first)
        return EC_ERR_ARGUMENT;
    stepping job = {.rivals = rivals, .base = first, .input = input, .active = active, .output = output};
    step_members(&job, first, first + count, 0);
    return 0;
}

int ec_rivals_state(const ec_rivals *rivals, uint32_t member, double *state)
{
    if (member >= rivals->population)
        return EC_ERR_ARGUMENT;
    rivals->model->show(&rivals->shape, rivals->states + member * rivals->state_bytes, state);
    return 0;
}

int ec_rivals_activity(const ec_rivals *rivals, uint64_t *spikes, uint64_t *neuron_substeps)
{
    *spikes = *neuron_substeps = 0;
    for (uint32_t k = 0; k < rivals->population && rivals->spiking; k++) {
        *spikes += rivals->spikes[k];
        *neuron_substeps += rivals->substeps[k] * rivals->shape.spec.n_neurons;
    }
    return 0;
}

int ec_rivals_combine(const float *noise, const double *factor, uint32_t rows, uint32_t columns,
                      double *total)
{
    memset(total, 0, columns * sizeof *total);
    for (uint32_t k = 0; k < rows; k++, noise += columns) {
        for (uint32_t i = 0; i < columns; i++)
            total[i] += factor[k] * noise[i];
    }
    return 0;
}
