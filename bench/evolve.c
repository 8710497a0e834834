/* The application of bench/evolve.py: generations without a network to run, and their ticks. */
#include "ec_config.h"
#include "ec_crc.h"
#include "ec_learn.h"
#include "ec_port.h"
#include "ec_random.h"

static const ec_policy policy = {.spec = {.n_obs = BENCH_OBS,
                                          .n_act = BENCH_ACT,
                                          .n_neurons = BENCH_NEURONS,
                                          .n_exc = BENCH_NEURONS / 2,
                                          .substeps = 1,
                                          .current_shift = 3,
                                          .membrane_shift = 3,
                                          .output_shift = 3},
                                 .image_size = BENCH_IMAGE};
static uint32_t memory[BENCH_MEMORY / 4u];
static int32_t fitness[BENCH_POPULATION];
static ec_learner learner;

static void await_byte(void)
{
    uint8_t byte;
    while (!ec_port_read(&byte, 1))
        ec_port_idle(UINT32_MAX);
}

static void report(uint32_t number)
{
    uint8_t bytes[4];
    ec_put32(bytes, number);
    ec_port_write(bytes, 4);
}

/* A probability for every synapse: a half, or all alike likely. */
static void place_rho(bool spread)
{
    for (uint32_t word = 0; word < learner.evolve.n_words; word++) {
        uint8_t bytes[32];
        for (uint32_t i = 0; i < 32; i++)
            bytes[i] = spread ? (uint8_t)(1u + ec_random(1, 2, 32u * word + i, 0).x0 % 255u) : 128u;
        ec_rho_pack(&learner.evolve.rho[word], bytes);
    }
}

/* In memory that has just enough, or room for members too. */
static void run_generation(bool spread, bool keeps)
{
    uint32_t size = keeps ? sizeof memory : ec_learn_memory(&policy, BENCH_POPULATION);
    (void)ec_learn_go_on(&learner, &policy, memory, size, BENCH_POPULATION);
    place_rho(spread);
    learner.evolve.step = BENCH_STEP;
    learner.evolve.generation = spread;
    (void)ec_learn_drop_records(&learner);
    ec_ranks(fitness, BENCH_POPULATION, learner.ranks);
    uint32_t start = ec_port_ticks();
    for (uint32_t member = 0; member < BENCH_POPULATION; member++)
        ec_learn_draw(&learner, member);
    uint32_t drawn = ec_port_ticks();
    uint32_t kept = learner.evolve.kept;
    uint32_t crc = ec_crc32(0, learner.synapses, 4u * learner.evolve.n_words);
    uint32_t begun = ec_port_ticks();
    ec_learn_move(&learner, learner.evolve.n_words);
    uint32_t moved = ec_port_ticks();
    report(kept);
    report(drawn - start);
    report(moved - begun);
    report(ec_crc32(crc, learner.evolve.rho, sizeof(ec_rho) * learner.evolve.n_words));
}

int main(int argc, char **argv)
{
    ec_port_init(argc, argv);
    for (uint32_t k = 0; k < BENCH_POPULATION; k++)
        fitness[k] = (int32_t)(ec_random(3, 4, k, 0).x0 >> 1);
    for (;;) {
        await_byte();
        run_generation(false, false);
        run_generation(false, true);
        run_generation(true, false);
        run_generation(true, true);
    }
}
