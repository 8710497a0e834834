/* Evolution's memory; its arithmetic is held to the reference from Python.
 */
#include "harness.h"

#include "ec_evolve.h"

static const ec_spec evolving = {.n_obs = 3, .n_act = 2, .n_neurons = 32, .n_exc = 20, .substeps = 1,
                                 .current_shift = 3, .membrane_shift = 3, .output_shift = 3};

static void test_evolution_takes_its_memory_and_no_more(void)
{
    static uint32_t memory[EC_EVOLVE_MEMORY(32, 2, 3) / 4 + 1];
    uint32_t size = sizeof memory - 4;
    memory[size / 4] = 0xDEADBEEFu;
    ec_evolve evolve;
    CHECK_EQUAL(0, ec_evolve_init(&evolve, &evolving, memory, size));
    CHECK_EQUAL(size, sizeof(ec_rho) * evolve.n_words);
    const int32_t ranks[2] = {1, -1};
    evolve.step = 0xFFFFFFFFu;
    ec_evolve_update(&evolve, 0, evolve.n_words, ranks, 2);
    CHECK_EQUAL(0xDEADBEEFu, memory[size / 4]);
}

static void test_evolution_refuses_short_memory_and_impossible_networks(void)
{
    static uint32_t memory[EC_EVOLVE_MEMORY(32, 2, 3) / 4];
    ec_evolve evolve;
    CHECK_EQUAL(EC_ERR_CAPACITY, ec_evolve_init(&evolve, &evolving, memory, sizeof memory - 1));
    ec_spec wrong = evolving;
    wrong.n_neurons = 33;
    CHECK_EQUAL(EC_ERR_FIELD, ec_evolve_init(&evolve, &wrong, memory, sizeof memory));
    CHECK_EQUAL(0, memory[0]);
}
