/* The application of bench/evolve.py: generations without a network to run, and their ticks. */
#include "ec_config.h"
#include "ec_crc.h"
#include "ec_evolve.h"
#include "ec_port.h"
#include "ec_random.h"

#define SAMPLED 16u /* members */

static const ec_spec spec = {.n_obs = BENCH_OBS,
                             .n_act = BENCH_ACT,
                             .n_neurons = BENCH_NEURONS,
                             .n_exc = BENCH_NEURONS / 2,
                             .substeps = 1,
                             .current_shift = 3,
                             .membrane_shift = 3,
                             .output_shift = 3};
static uint32_t memory[EC_EVOLVE_MEMORY(BENCH_NEURONS, BENCH_ACT, BENCH_OBS) / 4u];
static uint32_t synapses[sizeof memory / 32u];
static int32_t fitness[BENCH_POPULATION];
static int32_t ranks[BENCH_POPULATION];

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

/* A probability for every synapse, all alike likely. */
static void spread(ec_evolve *evolve)
{
    for (uint32_t word = 0; word < evolve->n_words; word++) {
        uint8_t bytes[32];
        for (uint32_t i = 0; i < 32; i++)
            bytes[i] = (uint8_t)(1u + ec_random(1, 2, 32u * word + i, 0).x0 % 255u);
        ec_rho_pack(&evolve->rho[word], bytes);
    }
}

int main(int argc, char **argv)
{
    ec_port_init(argc, argv);
    ec_evolve evolve;
    (void)ec_evolve_init(&evolve, &spec, memory, sizeof memory);
    evolve.step = BENCH_STEP;
    for (uint32_t k = 0; k < BENCH_POPULATION; k++)
        fitness[k] = (int32_t)(ec_random(3, 4, k, 0).x0 >> 1);
    ec_ranks(fitness, BENCH_POPULATION, ranks);
    for (;;) {
        await_byte();
        uint32_t crc = 0;
        uint32_t start = ec_port_ticks();
        for (uint32_t member = 0; member < SAMPLED; member++)
            ec_evolve_sample(&evolve, member, 0, evolve.n_words, synapses);
        uint32_t sampled = ec_port_ticks();
        crc = ec_crc32(crc, synapses, sizeof synapses);
        uint32_t begun = ec_port_ticks();
        ec_evolve_update(&evolve, 0, evolve.n_words, ranks, BENCH_POPULATION);
        uint32_t updated = ec_port_ticks();
        crc = ec_crc32(crc, memory, sizeof memory);
        report(sampled - start);
        report(updated - begun);
        report(crc);
        spread(&evolve);
        evolve.generation++;
    }
}
