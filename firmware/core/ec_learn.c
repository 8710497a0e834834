#include "ec_learn.h"

#include "ec_crc.h"

static uint32_t rho_size(const ec_spec *spec)
{
    return EC_EVOLVE_MEMORY(spec->n_neurons, spec->n_act, spec->n_obs);
}

static void copy_words(uint32_t *to, const uint32_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

uint32_t ec_learn_memory(const ec_policy *policy, uint16_t population)
{
    return policy->image_size + rho_size(&policy->spec) + 4u * population;
}

static uint32_t record_words(const ec_learner *learner)
{
    return (uint32_t)offsetof(ec_record, fitness) / 4u + learner->population;
}

int ec_learn_go_on(ec_learner *learner, const ec_policy *policy, void *memory, uint32_t size,
                   uint16_t population)
{
    if (population < EC_POPULATION_LEAST || population > EC_POPULATION_MOST)
        return EC_ERR_ARGUMENT;
    if (size < ec_learn_memory(policy, population))
        return EC_ERR_CAPACITY;
    uint32_t *words = memory;
    uint32_t *rho = words + policy->image_size / 4u;
    uint32_t rho_bytes = rho_size(&policy->spec);
    *learner = (ec_learner){
        .synapses = words + (EC_IMAGE_HEADER + 8u * policy->spec.n_obs) / 4u,
        .ranks = (int32_t *)(rho + rho_bytes / 4u),
        .population = population,
    };
    ec_evolve_place(&learner->evolve, &policy->spec, rho);

    uint32_t synapse_words = learner->evolve.n_words;
    uint32_t left = (size - ec_learn_memory(policy, population)) / 4u;
    if (left >= synapse_words + record_words(learner)) {
        learner->confirmed = (uint32_t *)learner->ranks + population;
        learner->records = learner->confirmed + synapse_words;
        learner->records_most = (left - synapse_words) / record_words(learner);
    }
    return 0;
}

int ec_learn_begin(ec_learner *learner, const ec_policy *policy, void *memory, uint32_t size,
                   uint16_t population, uint8_t one)
{
    int error = ec_learn_go_on(learner, policy, memory, size, population);
    if (error != 0)
        return error;
    ec_evolve_soften(&learner->evolve, learner->synapses, one);
    for (uint32_t k = 0; k < population; k++)
        learner->ranks[k] = 0;
    if (learner->confirmed)
        copy_words(learner->confirmed, learner->synapses, learner->evolve.n_words);
    return 0;
}

uint32_t ec_learn_used(const ec_learner *learner, const void *memory)
{
    const void *end = learner->confirmed ? (const void *)ec_learn_record(learner, learner->evolve.generation)
                                         : (const void *)(learner->ranks + learner->population);
    return (uint32_t)((const uint8_t *)end - (const uint8_t *)memory);
}

/* Of a member that is kept, where its synapses lie. */
static uint32_t *kept_synapses(const ec_evolve *evolve, uint32_t member)
{
    return evolve->members + member * evolve->n_words;
}

static void draw_to(const ec_learner *learner, uint32_t member, uint32_t *synapses)
{
    const ec_evolve *evolve = &learner->evolve;
    if (member == EC_MEMBER_DECIDED)
        ec_evolve_decide(evolve, 0, evolve->n_words, synapses);
    else if (member < evolve->kept)
        copy_words(synapses, kept_synapses(evolve, member), evolve->n_words);
    else
        ec_evolve_sample(evolve, member, 0, evolve->n_words, synapses);
}

void ec_learn_draw(ec_learner *learner, uint32_t member)
{
    ec_evolve *evolve = &learner->evolve;
    if (member == EC_MEMBER_CONFIRMED) {
        copy_words(learner->synapses, learner->confirmed, evolve->n_words);
        return;
    }
    draw_to(learner, member, learner->synapses);
    if (member == evolve->kept && member < learner->keeps) {
        copy_words(kept_synapses(evolve, member), learner->synapses, evolve->n_words);
        evolve->kept++;
    }
}

void ec_learn_confirm(ec_learner *learner, uint32_t member)
{
    draw_to(learner, member, learner->confirmed);
}

void ec_learn_rank(ec_learner *learner, uint32_t first, const uint8_t *ranks, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        learner->ranks[first + k] = ec_signed16(ec_get16(ranks + 2u * k));
}

/* No member is kept of other probabilities, and none where a record comes to lie. */
static void keep_anew(ec_learner *learner)
{
    ec_evolve *evolve = &learner->evolve;
    uint32_t records = evolve->generation - learner->practice.first_record + 1u;
    evolve->kept = 0;
    learner->keeps = 0;
    if (records > learner->records_most)
        return;
    uint32_t room = (learner->records_most - records) * record_words(learner) / evolve->n_words;
    evolve->members = learner->records + records * record_words(learner);
    learner->keeps = room < learner->population ? (uint16_t)room : learner->population;
}

void ec_learn_move(ec_learner *learner, uint32_t count)
{
    ec_evolve *evolve = &learner->evolve;
    uint32_t left = evolve->n_words - learner->learned;
    if (count > left)
        count = left;
    ec_evolve_update(evolve, learner->learned, count, learner->ranks, learner->population);
    learner->learned += count;
    if (learner->learned == evolve->n_words) {
        learner->learned = 0;
        evolve->generation++;
        keep_anew(learner);
    }
}

uint32_t ec_learn_drop_records(ec_learner *learner)
{
    ec_practice *practice = &learner->practice;
    practice->first_record = learner->evolve.generation;
    practice->first_hash = ec_learn_hash(learner);
    practice->phase = EC_PHASE_DRAW;
    keep_anew(learner);
    return practice->first_hash;
}

void ec_learn_drop_whole_records(ec_learner *learner)
{
    ec_practice *practice = &learner->practice;
    uint32_t generation = learner->evolve.generation;
    if (practice->first_record == generation)
        return;
    practice->first_hash = ec_learn_record(learner, generation - 1u)->rho_hash;
    copy_words(learner->records, (uint32_t *)ec_learn_record(learner, generation), record_words(learner));
    practice->first_record = generation;
}

ec_record *ec_learn_record(const ec_learner *learner, uint32_t generation)
{
    void *record = learner->records + (generation - learner->practice.first_record) * record_words(learner);
    return record;
}

uint32_t ec_learn_hash(const ec_learner *learner)
{
    return ec_crc32(0, learner->evolve.rho, sizeof(ec_rho) * learner->evolve.n_words);
}
