#include "ec_handler.h"

/* A policy that evolves by the device's own clock, on its own plant: docs/LINK.md, "Practice". */

#define ASK_PLANT_MS 10u /* that is not ready */

/* ---- requests ---- */

uint32_t ec_device_practice(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    ec_learner *learner = device->config->learner;
    ec_practice *practice = &learner->practice;
    ec_practice_terms terms;
    if (length != EC_PRACTICE_SIZE)
        return refuse(reply, EC_REFUSED_LENGTH, EC_PRACTICE_SIZE);
    if (!ec_practice_read(&terms, request) || !(terms.silence_ms == 0 || is_silence(terms.silence_ms)))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (!device->config->rig.plant)
        return refuse(reply, EC_REFUSED_PLANT, 0);
    if (terms.save > 0 && !device->config->flash)
        return refuse(reply, EC_REFUSED_FLASH, 0);
    bool goes_on = learner->population > 0 && learner->learned > 0 && practice->phase == EC_PHASE_MOVE;
    uint32_t refusal = goes_on ? 0 : ec_device_refuse_evolution(device, reply);
    if (refusal > 0)
        return refusal;
    if (terms.generations > learner->records_most)
        return refuse(reply, EC_REFUSED_CAPACITY, learner->records_most);

    ec_device_rest(device);
    if (goes_on) {
        ec_learn_drop_whole_records(learner);
    } else {
        (void)ec_learn_drop_records(learner);
        practice->member = 0;
    }
    practice->terms = terms;
    practice->until = learner->evolve.generation + terms.generations;
    practice->turn_ms = device->now_ms;
    practice->reason = 0;
    device->silence_ms = terms.silence_ms;
    ec_device_enter(device, EC_MODE_PRACTICE);
    practice->state = EC_PRACTICE_RUNS;
    return accept_mode(device, reply, 2);
}

uint32_t ec_device_progress(const ec_device *device, uint32_t length, uint8_t *reply)
{
    const ec_learner *learner = device->config->learner;
    const ec_practice *practice = &learner->practice;
    if (length != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    if (learner->population == 0)
        return refuse(reply, EC_REFUSED_IMAGE, EC_IMAGE_STAYS);
    length = accept_mode(device, reply, 68);
    reply[2] = practice->state;
    reply[3] = practice->phase;
    ec_put32(reply + 4, learner->evolve.seed);
    ec_put16(reply + 8, learner->population);
    ec_put16(reply + 10, practice->member);
    ec_put32(reply + 12, learner->evolve.generation);
    ec_put32(reply + 16, practice->first_record);
    ec_put32(reply + 20, learner->records_most);
    ec_put32(reply + 24, learner->learned);
    ec_put32(reply + 28, practice->spent.episodes);
    ec_put32(reply + 32, practice->spent.steps);
    ec_put32(reply + 36, practice->spent.ms);
    ec_put32(reply + 40, practice->faults);
    ec_put32(reply + 44, practice->reason);
    ec_put32(reply + 48, practice->first_hash);
    ec_put32(reply + 52, device->episode.steps);
    ec_put32(reply + 56, learner->evolve.step);
    ec_put32(reply + 60, practice->terms.first_seed);
    ec_put32(reply + 64, practice->terms.most_steps);
    return length;
}

uint32_t ec_device_record(const ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_learner *learner = device->config->learner;
    uint32_t population = learner->population;
    if (length != 12)
        return refuse(reply, EC_REFUSED_LENGTH, 12);
    if (population == 0)
        return refuse(reply, EC_REFUSED_IMAGE, EC_IMAGE_STAYS);
    uint32_t first_record = learner->practice.first_record;
    uint32_t generation = ec_get32(request);
    uint32_t first = ec_get32(request + 4);
    uint32_t count = ec_get32(request + 8);
    if (generation - first_record >= learner->evolve.generation - first_record || first > population ||
        count > population - first || count > (device->config->max_payload - 32u) / 4u)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);

    const ec_record *record = ec_learn_record(learner, generation);
    const int32_t *fitness = record->fitness;
    int32_t best = fitness[0], worst = fitness[0];
    int64_t sum = 0;
    for (uint32_t k = 0; k < population; k++) {
        best = fitness[k] > best ? fitness[k] : best;
        worst = fitness[k] < worst ? fitness[k] : worst;
        sum += fitness[k];
    }
    (void)accept_mode(device, reply, 32 + 4 * count);
    ec_put32(reply + 4, record->rho_hash);
    ec_put32(reply + 8, record->steps);
    ec_put32(reply + 12, record->faults);
    ec_put32(reply + 16, (uint32_t)best);
    ec_put32(reply + 20, (uint32_t)worst);
    ec_put64(reply + 24, (uint64_t)sum);
    for (uint32_t i = 0; i < count; i++)
        ec_put32(reply + 32 + 4 * i, (uint32_t)fitness[first + i]);
    return 32 + 4 * count;
}

/* ---- the clock's turns ---- */

static uint32_t end(ec_device *device, uint8_t state)
{
    ec_practice_stop(&device->config->learner->practice, state);
    ec_device_rest(device);
    return EC_NEVER;
}

/* Between two members the plant is safe, so that a draw may take its time. */
static uint32_t draw_member(ec_device *device)
{
    const ec_device_config *config = device->config;
    ec_learner *learner = config->learner;
    ec_practice *practice = &learner->practice;
    ec_record *record = ec_learn_record(learner, learner->evolve.generation);
    if (practice->member == 0)
        record->steps = record->faults = 0;
    record->fitness[practice->member] = 0;
    ec_learn_draw(learner, practice->member);
    (void)ec_net_init(&device->net, device->policy, config->net_memory, config->net_memory_size);
    practice->episode = 0;
    practice->ready_ms = device->now_ms;
    practice->phase = EC_PHASE_BEGIN;
    return 0;
}

static uint32_t begin_episode(ec_device *device)
{
    const ec_device_config *config = device->config;
    const ec_rig *rig = &config->rig;
    ec_practice *practice = &config->learner->practice;
    uint32_t seed = ec_practice_seed(practice, config->learner->evolve.generation);
    ec_device_make_safe(device);
    practice->reason = rig->begin(rig->context, device->policy, seed);
    if (practice->reason != 0) {
        if (device->now_ms - practice->ready_ms >= practice->terms.patience_ms)
            return end(device, EC_PRACTICE_PLANT);
        return config->tick_hz / (1000u / ASK_PLANT_MS);
    }
    ec_net_reset(&device->net);
    ec_episode_begin(&device->episode, practice->terms.most_steps, practice->terms.period, config->ticks());
    practice->phase = EC_PHASE_ACT;
    return 0;
}

/* False, and the first one, behind the last. */
static bool next_member(ec_learner *learner)
{
    ec_practice *practice = &learner->practice;
    practice->member++;
    if (practice->member < learner->population)
        return true;
    practice->member = 0;
    return false;
}

/* An episode ends as told by its plant or by its steps; the next one, or member, or the ranking follows. */
static void finish_episode(ec_device *device)
{
    ec_learner *learner = device->config->learner;
    ec_practice *practice = &learner->practice;
    ec_record *record = ec_learn_record(learner, learner->evolve.generation);
    int32_t *fitness = &record->fitness[practice->member];
    bool fault = device->episode.end == EC_END_FAULT;
    ec_device_make_safe(device);
    *fitness = ec_practice_fitness(*fitness, device->episode.total);
    practice->spent.episodes++;
    practice->faults += fault;
    record->faults += fault;
    record->steps += device->episode.steps;
    practice->ready_ms = device->now_ms;
    practice->episode++;
    if (practice->episode < practice->terms.episodes) {
        practice->phase = EC_PHASE_BEGIN;
        return;
    }
    practice->phase = next_member(learner) ? EC_PHASE_DRAW : EC_PHASE_RANK;
}

static uint32_t act(ec_device *device)
{
    ec_practice *practice = &device->config->learner->practice;
    uint32_t wait = ec_episode_wait(&device->episode, device->config->ticks());
    if (wait > 0)
        return wait;
    ec_device_take_step(device);
    practice->spent.steps++;
    if (device->episode.end == EC_END_RUNS)
        return ec_episode_wait(&device->episode, device->config->ticks());
    finish_episode(device);
    return 0;
}

static uint32_t rank_member(ec_learner *learner)
{
    const ec_record *record = ec_learn_record(learner, learner->evolve.generation);
    uint16_t member = learner->practice.member;
    learner->ranks[member] = ec_rank(record->fitness, learner->population, member);
    if (!next_member(learner))
        learner->practice.phase = EC_PHASE_MOVE;
    return 0;
}

static uint32_t move_word(ec_device *device)
{
    ec_learner *learner = device->config->learner;
    ec_practice *practice = &learner->practice;
    ec_learn_move(learner, 1);
    if (learner->learned > 0)
        return 0;
    ec_learn_record(learner, learner->evolve.generation - 1u)->rho_hash = ec_learn_hash(learner);
    practice->phase = EC_PHASE_DRAW;
    if (practice->terms.save > 0 && learner->evolve.generation % practice->terms.save == 0)
        (void)ec_device_save(device); /* SNAPSHOT tells how old the one is that is there */
    return learner->evolve.generation == practice->until ? end(device, EC_PRACTICE_DONE) : 0;
}

uint32_t ec_device_practise(ec_device *device)
{
    ec_learner *learner = device->config->learner;
    ec_practice *practice = &learner->practice;
    uint32_t ms = device->now_ms - practice->turn_ms;
    practice->turn_ms = device->now_ms;
    practice->spent.ms = ms > UINT32_MAX - practice->spent.ms ? UINT32_MAX : practice->spent.ms + ms;
    uint8_t spent = ec_practice_spent(practice);
    bool spends = practice->phase == EC_PHASE_BEGIN || practice->phase == EC_PHASE_ACT;
    if (spends && spent != EC_PRACTICE_RUNS)
        return end(device, spent);
    switch (practice->phase) {
    case EC_PHASE_DRAW:
        return draw_member(device);
    case EC_PHASE_BEGIN:
        return begin_episode(device);
    case EC_PHASE_ACT:
        return act(device);
    case EC_PHASE_RANK:
        return rank_member(learner);
    default:
        return move_word(device);
    }
}
