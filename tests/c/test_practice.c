/* A policy that evolves by the device's own clock, on its own plant: docs/LINK.md, "Practice".
 */
#include "harness.h"

#define POPULATION 4u
#define FIRST_SEED 100u
#define LONGEST    6u /* steps of an episode */

typedef struct {
    uint32_t generations, first_seed, most_steps, period, silence_ms, patience_ms;
    uint32_t most_episodes, most_total, most_ms;
    uint16_t episodes, save_every;
} terms;

static const terms usual = {.generations = 1, .first_seed = FIRST_SEED, .most_steps = LONGEST, .episodes = 1};
static uint32_t practice_ms; /* the device's clock */

static uint8_t ask_practice(terms t)
{
    uint8_t payload[40] = {0};
    const uint32_t words[9] = {t.generations, t.first_seed,    t.most_steps, t.period, t.silence_ms,
                               t.patience_ms, t.most_episodes, t.most_total, t.most_ms};
    for (unsigned i = 0; i < 9; i++)
        ec_put32(payload + 4 * i, words[i]);
    ec_put16(payload + 36, t.episodes);
    ec_put16(payload + 38, t.save_every);
    return ask(EC_PRACTICE, payload, sizeof payload);
}

static uint8_t ask_evolve(uint16_t population)
{
    uint8_t payload[16] = {0};
    ec_put32(payload, 9);
    ec_put32(payload + 8, 1u << 28);
    ec_put16(payload + 12, population);
    payload[14] = 200;
    return ask(EC_EVOLVE, payload, sizeof payload);
}

static uint8_t ask_number(uint8_t type, uint32_t number)
{
    uint8_t payload[4];
    ec_put32(payload, number);
    return ask(type, payload, sizeof payload);
}

static uint8_t ask_record(uint32_t generation, uint32_t first, uint32_t count)
{
    uint8_t payload[12];
    ec_put32(payload, generation);
    ec_put32(payload + 4, first);
    ec_put32(payload + 8, count);
    return ask(EC_RECORD, payload, sizeof payload);
}

static uint32_t told(unsigned offset)
{
    return ec_get32(reply + offset);
}

/* The state of practice, which PROGRESS tells. */
static uint8_t progress(void)
{
    CHECK_EQUAL(EC_OK, ask(EC_PROGRESS, NULL, 0));
    CHECK_EQUAL(68, reply_length);
    return reply[2];
}

/* A device whose policy evolves; every member earns another reward. */
static void evolve(void)
{
    connect();
    practice_ms = 0;
    CHECK_EQUAL(EC_OK, upload(&builtin));
    CHECK_EQUAL(EC_OK, ask_evolve(POPULATION));
}

static void take_turn(void)
{
    const int32_t rewards[POPULATION] = {3, -1, 8, 3};
    clocked.reward = rewards[learner.practice.member];
    uint32_t wait = ec_device_clock(&device);
    if (wait == EC_NEVER)
        return;
    clock_ticks += wait;
    practice_ms += wait / 1000;
    ec_device_poll(&device, practice_ms);
}

static void take_turns(void)
{
    for (unsigned i = 0; device.mode == EC_MODE_PRACTICE; i++) {
        take_turn();
        CHECK(i < 100000);
    }
}

static void test_practice_learns_what_ranks_and_learn_would(void)
{
    uint8_t ranks[4 + 2 * POPULATION] = {0}, move[12] = {0};
    const int32_t fitness[POPULATION] = {3 * LONGEST, -1 * (int)LONGEST, 8 * LONGEST, 3 * LONGEST};
    const int16_t ranked[POPULATION] = {0, -3, 3, 0};
    evolve();
    terms two = usual;
    two.generations = 2;
    CHECK_EQUAL(EC_OK, ask_practice(two));
    CHECK_EQUAL(2, reply_length);
    CHECK_EQUAL(EC_MODE_PRACTICE, reply[1]);
    take_turns();
    CHECK_EQUAL(EC_PRACTICE_DONE, progress());
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(9, told(4));
    CHECK_EQUAL(POPULATION, ec_get16(reply + 8));
    CHECK_EQUAL(2, told(12));
    CHECK_EQUAL(0, told(16));
    CHECK_EQUAL(2 * POPULATION, told(28));
    CHECK_EQUAL(2 * POPULATION * LONGEST, told(32));
    CHECK_EQUAL(1u << 28, told(56));
    CHECK_EQUAL(FIRST_SEED, told(60));
    CHECK_EQUAL(LONGEST, told(64));
    uint32_t hashes[2], first_hash = told(48);
    for (uint32_t generation = 0; generation < 2; generation++) {
        CHECK_EQUAL(EC_OK, ask_record(generation, 0, POPULATION));
        CHECK_EQUAL(32 + 4 * POPULATION, reply_length);
        hashes[generation] = told(4);
        CHECK_EQUAL(POPULATION * LONGEST, told(8));
        CHECK_EQUAL(0, told(12));
        CHECK_EQUAL(fitness[2], told(16));
        CHECK_EQUAL((uint32_t)fitness[1], told(20));
        CHECK_EQUAL(fitness[0] + fitness[1] + fitness[2] + fitness[3], told(24));
        CHECK_EQUAL(0, told(28));
        for (unsigned k = 0; k < POPULATION; k++)
            CHECK_EQUAL((uint32_t)fitness[k], told(32 + 4 * k));
    }
    evolve();
    CHECK_EQUAL(first_hash, ec_learn_hash(&learner));
    for (unsigned k = 0; k < POPULATION; k++)
        ec_put16(ranks + 4 + 2 * k, (uint16_t)ranked[k]);
    for (uint32_t generation = 0; generation < 2; generation++) {
        CHECK_EQUAL(EC_OK, ask(EC_RANKS, ranks, sizeof ranks));
        ec_put32(move, generation);
        ec_put32(move + 8, UINT32_MAX);
        CHECK_EQUAL(EC_OK, ask(EC_LEARN, move, sizeof move));
        CHECK_EQUAL(hashes[generation], told(12));
    }
}

static void test_members_of_a_generation_meet_the_same_seeds(void)
{
    evolve();
    terms t = usual;
    t.generations = 2;
    t.episodes = 3;
    CHECK_EQUAL(EC_OK, ask_practice(t));
    for (unsigned n = 0; device.mode == EC_MODE_PRACTICE;) {
        unsigned begun = clocked.begun;
        uint32_t generation = learner.evolve.generation;
        uint16_t member = learner.practice.member;
        take_turn();
        if (clocked.begun == begun)
            continue;
        CHECK_EQUAL(n / (3 * POPULATION), generation);
        CHECK_EQUAL(n / 3 % POPULATION, member);
        CHECK_EQUAL(FIRST_SEED + 3 * generation + n % 3, clocked.seed);
        n++;
    }
    CHECK_EQUAL(2 * 3 * POPULATION, clocked.begun);
    CHECK_EQUAL(EC_OK, ask_record(1, 2, 1));
    CHECK_EQUAL(3 * 8 * LONGEST, told(32));
}

static void test_a_fault_is_told_and_ranked_by_what_it_earned(void)
{
    evolve();
    plant.rest = 77;
    clocked.ends = 2;
    clocked.verdict = EC_PLANT_FAILED;
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    unsigned begun = clocked.begun;
    while (device.mode == EC_MODE_PRACTICE) {
        take_turn();
        if (clocked.begun != begun) /* safe before it began */
            CHECK_EQUAL(77, outputs[0]);
        begun = clocked.begun;
        if (device.episode.end == EC_END_FAULT)
            CHECK_EQUAL(77, outputs[0]);
    }
    CHECK_EQUAL(EC_PRACTICE_DONE, progress());
    CHECK_EQUAL(POPULATION, told(40));
    CHECK_EQUAL(EC_OK, ask_record(0, 0, 1));
    CHECK_EQUAL(2 * POPULATION, told(8));
    CHECK_EQUAL(POPULATION, told(12));
    CHECK_EQUAL(2 * 3, told(32));
}

static void test_fitness_is_kept_to_32_bits(void)
{
    CHECK_EQUAL(INT32_MAX, ec_practice_fitness(5, INT32_MAX));
    CHECK_EQUAL(INT32_MIN, ec_practice_fitness(INT32_MIN, -1));
    CHECK_EQUAL(INT32_MIN, ec_practice_fitness(0, INT64_MIN / 2));
    CHECK_EQUAL(-3, ec_practice_fitness(4, -7));
}

static void test_a_budget_that_is_used_up_ends_practice(void)
{
    struct {
        terms t;
        uint8_t state;
        uint32_t episodes, steps;
    } cases[] = {
        {{.most_episodes = 3}, EC_PRACTICE_EPISODES, 3, 3 * LONGEST},
        {{.most_total = 8}, EC_PRACTICE_STEPS, 1, 8},
        {{.most_ms = 20}, EC_PRACTICE_TIME, 0, 3},
    };
    for (unsigned i = 0; i < 3; i++) {
        evolve();
        plant.rest = 77;
        terms t = cases[i].t;
        t.generations = 2;
        t.most_steps = LONGEST;
        t.episodes = 1;
        t.period = 10000; /* ticks: 10 ms */
        CHECK_EQUAL(EC_OK, ask_practice(t));
        take_turns();
        CHECK_EQUAL(EC_MODE_IDLE, device.mode);
        CHECK_EQUAL(77, outputs[0]);
        CHECK_EQUAL(cases[i].state, progress());
        CHECK_EQUAL(0, told(12));
        CHECK_EQUAL(cases[i].episodes, told(28));
        CHECK_EQUAL(cases[i].steps, told(32));
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_record(0, 0, 1));
        /* It stays used up, until more is allowed; the generation begins anew. */
        CHECK_EQUAL(EC_OK, ask_practice(t));
        take_turns();
        CHECK_EQUAL(cases[i].state, progress());
        CHECK_EQUAL(cases[i].steps, told(32));
        t.most_episodes = t.most_total = t.most_ms = 0;
        CHECK_EQUAL(EC_OK, ask_practice(t));
        take_turns();
        CHECK_EQUAL(EC_PRACTICE_DONE, progress());
        CHECK_EQUAL(2, told(12));
    }
}

static void test_a_plant_that_is_not_ready_is_asked_again(void)
{
    evolve();
    terms t = usual;
    t.patience_ms = 100;
    clocked.refusal = 5;
    CHECK_EQUAL(EC_OK, ask_practice(t));
    while (practice_ms < 50)
        take_turn();
    CHECK_EQUAL(EC_PRACTICE_RUNS, progress());
    CHECK_EQUAL(5, told(44));
    clocked.refusal = 0;
    for (unsigned begun = clocked.begun; clocked.begun == begun;)
        take_turn();
    clocked.refusal = 6;
    take_turns();
    CHECK_EQUAL(EC_PRACTICE_PLANT, progress());
    CHECK_EQUAL(6, told(44));
    CHECK_EQUAL(1, told(28));
}

static void test_practice_without_its_host_ends_in_safety(void)
{
    evolve();
    plant.rest = 77;
    terms t = usual;
    t.most_steps = 1000;
    t.silence_ms = SILENCE_MS;
    ec_device_poll(&device, practice_ms);
    CHECK_EQUAL(EC_OK, ask_practice(t));
    ec_device_poll(&device, practice_ms);
    for (unsigned i = 0; i < 5; i++) {
        take_turn();
        ec_device_poll(&device, practice_ms += SILENCE_MS);
        CHECK_EQUAL(EC_MODE_PRACTICE, device.mode);
        CHECK_EQUAL(EC_PRACTICE_RUNS, progress());
        ec_device_poll(&device, practice_ms);
    }
    CHECK(outputs[0] != 77);
    (void)ask(EC_STATUS, NULL, 0);
    ec_device_poll(&device, practice_ms += SILENCE_MS + 1);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    CHECK_EQUAL(77, outputs[0]);
    CHECK_EQUAL(EC_PRACTICE_SILENCE, progress());
    CHECK_EQUAL(EC_END_SILENCE, device.episode.end);
}

static void test_between_members_the_safe_action_is_applied_again_and_again(void)
{
    evolve();
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    while (device.episode.end != EC_END_STEPS)
        take_turn();
    unsigned before = plant.made_safe;
    ec_device_poll(&device, practice_ms);
    CHECK_EQUAL(before + 1, plant.made_safe);
    while (device.episode.end != EC_END_RUNS)
        take_turn();
    before = plant.made_safe;
    ec_device_poll(&device, practice_ms);
    CHECK_EQUAL(before, plant.made_safe);
}

static void test_what_leaves_practice_alone_and_what_ends_it(void)
{
    const uint8_t asks[] = {EC_STATUS, EC_RESULT, EC_PROGRESS};
    evolve();
    for (unsigned i = 0; i < sizeof asks; i++) {
        CHECK_EQUAL(EC_OK, ask_practice(usual));
        take_turn();
        CHECK_EQUAL(EC_OK, ask(asks[i], NULL, 0));
        CHECK_EQUAL(EC_MODE_PRACTICE, device.mode);
        CHECK_EQUAL(EC_OK, ask_number(EC_CONFIRM, 1));
        CHECK_EQUAL(EC_MODE_PRACTICE, device.mode);
        CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
        CHECK_EQUAL(EC_MODE_PRACTICE, detail());
        CHECK_EQUAL(EC_REFUSED_MODE, ask(EC_RANKS, "\0\0\0\0\1\0", 6));
        CHECK_EQUAL(EC_OK, ask_number(EC_MEMBER, 0));
        CHECK_EQUAL(EC_PRACTICE_STOPPED, progress());
        CHECK_EQUAL(EC_MODE_IDLE, device.mode);
        CHECK_EQUAL(EC_OK, ask_practice(usual));
        CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
        CHECK_EQUAL(EC_PRACTICE_STOPPED, progress());
        CHECK_EQUAL(EC_OK, ask_practice(usual));
        CHECK_EQUAL(EC_OK, ask_reset(0));
        CHECK_EQUAL(EC_PRACTICE_STOPPED, progress());
    }
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    CHECK_EQUAL(EC_OK, ask_begin(16)); /* the policy in RAM is gone */
    CHECK_EQUAL(EC_NEVER, ec_device_clock(&device));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_PROGRESS, NULL, 0));
    CHECK_EQUAL(EC_IMAGE_STAYS, detail());
}

static void test_practice_that_is_stopped_while_it_learns_goes_on_there(void)
{
    evolve();
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    take_turns();
    CHECK_EQUAL(EC_OK, ask_record(0, 0, 0));
    uint32_t hash = told(4);
    evolve();
    uint32_t first_hash = ec_learn_hash(&learner);
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    unsigned begun = 0;
    for (unsigned stops = 0; device.mode == EC_MODE_PRACTICE; stops++) {
        while (device.mode == EC_MODE_PRACTICE && learner.learned < 10 * (stops + 1))
            take_turn();
        if (device.mode != EC_MODE_PRACTICE)
            break;
        begun = clocked.begun;
        CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
        CHECK_EQUAL(EC_REFUSED_OFFSET, ask_number(EC_MEMBER, 0));
        CHECK_EQUAL(EC_REFUSED_OFFSET, ask_number(EC_CONFIRM, 0));
        CHECK_EQUAL(EC_OK, ask_practice(usual));
    }
    CHECK_EQUAL(POPULATION, begun);
    CHECK_EQUAL(first_hash, learner.practice.first_hash);
    CHECK_EQUAL(EC_PRACTICE_DONE, progress());
    CHECK_EQUAL(EC_OK, ask_record(0, 0, 0));
    CHECK_EQUAL(hash, told(4));
    CHECK_EQUAL(POPULATION * LONGEST, told(8));
}

static void test_practice_does_not_go_on_with_ranks_of_its_host(void)
{
    uint8_t ranks[4 + 2 * POPULATION] = {0}, move[12] = {0};
    evolve();
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    while (learner.practice.phase != EC_PHASE_MOVE)
        take_turn();
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(EC_OK, ask(EC_RANKS, ranks, sizeof ranks));
    ec_put32(move + 8, 1);
    CHECK_EQUAL(EC_OK, ask(EC_LEARN, move, sizeof move));
    CHECK_EQUAL(1, learner.learned);
    CHECK_EQUAL(EC_REFUSED_OFFSET, ask_practice(usual));
}

static void test_limits_hold_while_it_learns(void)
{
    uint8_t narrow[4 + EC_LIMIT_SIZE] = {0};
    evolve();
    ec_put16(narrow + 4, (uint16_t)-20);
    ec_put16(narrow + 6, 20);
    ec_put16(narrow + 8, 6);
    CHECK_EQUAL(EC_OK, ask(EC_LIMITS, narrow, sizeof narrow));
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    int16_t before = 0;
    for (unsigned applied = 0; device.mode == EC_MODE_PRACTICE;) {
        take_turn();
        bool stepped = plant.applied != applied;
        applied = plant.applied;
        if (stepped && device.episode.end == EC_END_RUNS)
            CHECK(-20 <= outputs[0] && outputs[0] <= 20 && abs(outputs[0] - before) <= 6);
        before = outputs[0];
    }
    CHECK(device.statistics.clamps > 0);
}

static void test_the_confirmed_policy_comes_back(void)
{
    uint32_t synapses[RAM_SIZE / 4], decided[RAM_SIZE / 4];
    evolve();
    uint32_t size = 4 * learner.evolve.n_words;
    memcpy(synapses, learner.synapses, size);
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    take_turns();
    CHECK(memcmp(synapses, learner.synapses, size) != 0);
    CHECK_EQUAL(EC_OK, ask_number(EC_MEMBER, EC_MEMBER_CONFIRMED)); /* what evolution began from */
    CHECK(memcmp(synapses, learner.synapses, size) == 0);
    CHECK_EQUAL(EC_OK, ask_number(EC_CONFIRM, EC_MEMBER_DECIDED));
    CHECK(memcmp(synapses, learner.synapses, size) == 0); /* no look at the image */
    CHECK_EQUAL(EC_OK, ask_number(EC_MEMBER, EC_MEMBER_DECIDED));
    memcpy(decided, learner.synapses, size);
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    while (learner.learned == 0)
        take_turn();
    CHECK_EQUAL(EC_OK, ask_number(EC_MEMBER, EC_MEMBER_CONFIRMED)); /* even in the middle */
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
    CHECK(memcmp(decided, learner.synapses, size) == 0);
}

static void test_practice_that_cannot_be_is_refused(void)
{
    uint8_t payload[MAX_PAYLOAD] = {0};
    connect();
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_practice(usual));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_record(0, 0, 0));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_number(EC_CONFIRM, 0));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_number(EC_MEMBER, EC_MEMBER_CONFIRMED));
    evolve();
    for (uint32_t length = 0; length <= MAX_PAYLOAD; length++) {
        if (length != 40)
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_PRACTICE, payload, length));
        if (length != 12)
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_RECORD, payload, length));
        if (length != 0)
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_PROGRESS, payload, length));
        if (length != 4)
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_CONFIRM, payload, length));
    }
    terms wrong[7];
    for (unsigned i = 0; i < 7; i++)
        wrong[i] = usual;
    wrong[0].generations = 0;
    wrong[1].most_steps = 0;
    wrong[2].period = EC_PERIOD_MOST + 1;
    wrong[3].silence_ms = EC_SILENCE_MS_LEAST - 1;
    wrong[4].silence_ms = EC_SILENCE_MS_MOST + 1;
    wrong[5].episodes = 0;
    for (unsigned i = 0; i < 6; i++)
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_practice(wrong[i]));
    CHECK_EQUAL(EC_PRACTICE_NONE, progress());
    uint32_t most = told(20);
    wrong[6].generations = most + 1;
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_practice(wrong[6]));
    CHECK_EQUAL(most, detail());
    CHECK(most > 0);
    const uint32_t records[5][3] = {
        {0, 0, 1}, {UINT32_MAX, 0, 0}, {1, 0, 0}, {0, POPULATION + 1, 0}, {0, UINT32_MAX, 2},
    };
    for (unsigned done = 0; done < 2; done++) {
        for (unsigned i = done; i < 5; i++)
            CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_record(records[i][0], records[i][1], records[i][2]));
        CHECK_EQUAL(EC_OK, ask_practice(usual));
        take_turns();
    }
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_number(EC_CONFIRM, POPULATION));
    config.rig.plant = NULL;
    CHECK_EQUAL(EC_REFUSED_PLANT, ask_practice(usual));
    CHECK_EQUAL(0, detail());
}

static void test_the_room_behind_the_ranks_decides_how_far_it_may_go_alone(void)
{
    connect();
    CHECK_EQUAL(EC_OK, upload(&builtin));
    uint32_t needed = ec_learn_memory(device.policy, POPULATION);
    uint32_t synapses = EC_EVOLVE_MEMORY(device.policy->spec.n_neurons, device.policy->spec.n_act,
                                         device.policy->spec.n_obs) / 8u;
    for (uint32_t records = 0; records < 3; records++) {
        config.policy_ram_size = needed + synapses + records * (12 + 4 * POPULATION);
        CHECK_EQUAL(EC_OK, ask_evolve(POPULATION));
        CHECK_EQUAL(EC_PRACTICE_NONE, progress());
        CHECK_EQUAL(records, told(20));
        CHECK_EQUAL(records ? EC_OK : EC_REFUSED_CAPACITY, ask_practice(usual));
        CHECK_EQUAL(records ? EC_OK : EC_REFUSED_CAPACITY, ask_number(EC_CONFIRM, 0));
        CHECK_EQUAL(records ? EC_OK : EC_REFUSED_CAPACITY, ask_number(EC_MEMBER, EC_MEMBER_CONFIRMED));
    }
}
