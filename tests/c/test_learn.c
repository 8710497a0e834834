/* A learner's memory: what is kept there may make learning quicker, and nothing else.
 */
#include "harness.h"

#define LEARNERS    19u /* members: two times as many as are added up at once, and some */
#define GENERATIONS 3u
#define PLENTY      8192u

typedef struct {
    uint32_t rho_hash;
    uint32_t kept; /* in the last generation */
} learned;

static uint32_t learner_memory[PLENTY];
static uint32_t next_number = 1;

static int32_t any_number(void)
{
    next_number = next_number * 1664525u + 1013904223u;
    return (int32_t)(next_number >> 24);
}

/* Begins in so many bytes, of which none is known; behind them lies what must stay. */
static ec_policy begin_learning(uint32_t bytes)
{
    ec_policy policy;
    memset(learner_memory, 0xA5, sizeof learner_memory);
    memcpy(learner_memory, builtin.words, builtin.size);
    CHECK_EQUAL(0, ec_policy_open(&policy, learner_memory, builtin.size));
    CHECK_EQUAL(0, ec_learn_begin(&learner, &policy, learner_memory, bytes, LEARNERS, 200));
    learner.evolve.seed = 9;
    learner.evolve.step = 1u << 28;
    (void)ec_learn_drop_records(&learner);
    next_number = 1;
    return policy;
}

/* A generation, whose members are drawn in this order; with records, as one of practice. */
static void learn_generation(const uint8_t *order, uint32_t draws, bool records)
{
    const uint32_t generation = learner.evolve.generation;
    for (uint32_t i = 0; i < draws; i++) {
        if (records)
            ec_learn_record(&learner, generation)->fitness[order[i]] = -1;
        ec_learn_draw(&learner, order[i]);
    }
    int32_t fitness[LEARNERS];
    for (uint32_t k = 0; k < LEARNERS; k++)
        fitness[k] = any_number() / 16; /* some rank alike */
    ec_ranks(fitness, LEARNERS, learner.ranks);
    while (learner.evolve.generation == generation)
        ec_learn_move(&learner, 5);
}

static learned learn_in(uint32_t bytes, const uint8_t *order, uint32_t draws, bool records)
{
    (void)begin_learning(bytes);
    uint32_t kept = 0;
    for (uint32_t g = 0; g < GENERATIONS; g++) {
        kept = learner.keeps;
        learn_generation(order, draws, records && g < learner.records_most);
        if (!records || g >= learner.records_most)
            (void)ec_learn_drop_records(&learner);
    }
    for (uint32_t i = bytes / 4; i < PLENTY; i++)
        CHECK_EQUAL(0xA5A5A5A5u, learner_memory[i]);
    return (learned){ec_learn_hash(&learner), kept};
}

static const uint8_t in_order[LEARNERS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

static void test_learning_is_the_same_whatever_is_kept(void)
{
    ec_policy policy = begin_learning(sizeof learner_memory);
    uint32_t least = ec_learn_memory(&policy, LEARNERS);
    learned bare = learn_in(least, in_order, LEARNERS, false);
    CHECK_EQUAL(0, bare.kept);
    uint32_t most = 0;
    for (uint32_t bytes = least; bytes < sizeof learner_memory; bytes += 68) {
        for (unsigned records = 0; records < 2; records++) {
            learned some = learn_in(bytes, in_order, LEARNERS, records);
            CHECK_EQUAL(bare.rho_hash, some.rho_hash);
            most = some.kept > most ? some.kept : most;
        }
    }
    CHECK_EQUAL(LEARNERS, most);
}

static void test_learning_is_the_same_in_whatever_order_members_are_drawn(void)
{
    static const uint8_t orders[][24] = {{18, 0, 1, 1, 0, 2, 4, 3, 5, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17},
                                         {5, 5, 5},
                                         {0, 1, 2, 3, 4, 5, 6, 7, 0, 7}};
    learned bare = learn_in(sizeof learner_memory, in_order, 0, false);
    for (unsigned i = 0; i < sizeof orders / sizeof orders[0]; i++)
        CHECK_EQUAL(bare.rho_hash, learn_in(sizeof learner_memory, orders[i], sizeof orders[i], false).rho_hash);
}

static void test_a_member_that_is_kept_is_drawn_to_the_same(void)
{
    static uint32_t drawn[2][PLENTY];
    ec_policy policy = begin_learning(sizeof learner_memory);
    uint32_t bytes = 4u * learner.evolve.n_words;
    for (uint32_t k = 0; k < LEARNERS; k++)
        ec_learn_draw(&learner, k);
    CHECK_EQUAL(LEARNERS, learner.evolve.kept);
    ec_learn_draw(&learner, 7);
    memcpy(drawn[0], learner.synapses, bytes);
    ec_learn_confirm(&learner, 7);
    CHECK(memcmp(drawn[0], learner.confirmed, bytes) == 0);
    ec_evolve_sample(&learner.evolve, 7, 0, learner.evolve.n_words, drawn[1]);
    CHECK(memcmp(drawn[0], drawn[1], bytes) == 0);
    ec_learn_draw(&learner, EC_MEMBER_DECIDED);
    CHECK(memcmp(drawn[0], learner.synapses, bytes) != 0);
    (void)policy;
}

static void test_what_was_kept_of_other_probabilities_is_forgotten(void)
{
    (void)begin_learning(sizeof learner_memory);
    uint32_t expected = 0;
    for (unsigned drawn = 0; drawn < 2; drawn++) {
        (void)begin_learning(sizeof learner_memory);
        for (uint32_t k = 0; drawn && k < LEARNERS; k++)
            ec_learn_draw(&learner, k);
        CHECK_EQUAL(drawn ? LEARNERS : 0, learner.evolve.kept);
        for (uint32_t word = 0; word < learner.evolve.n_words; word++)
            learner.evolve.rho[word].plane[1] ^= 0x12345678u;
        (void)ec_learn_drop_records(&learner);
        CHECK_EQUAL(0, learner.evolve.kept);
        learn_generation(in_order, 0, false);
        if (drawn)
            CHECK_EQUAL(expected, ec_learn_hash(&learner));
        expected = ec_learn_hash(&learner);
    }
}
