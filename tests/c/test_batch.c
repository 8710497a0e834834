/* Every kernel that this machine can run, held to the firmware's core on random networks: states,
 * samples and gradients. Runs on any architecture; prints what it compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_batch.h"
#include "ec_evolve.h"
#include "ec_net.h"
#include "ec_random.h"

static uint32_t drawn;

static uint32_t draw(void)
{
    return ec_random(1, 2, drawn++, 0).x0;
}

static uint32_t draw_below(uint32_t n)
{
    return draw() % n;
}

static void demand(bool holds, const char *what, const char *kernel, const ec_spec *spec)
{
    if (holds)
        return;
    printf("%s differs: kernel %s, N %d, n_obs %d, form %d\n", what, kernel, spec->n_neurons, spec->n_obs,
           spec->form);
    exit(1);
}

static ec_spec draw_spec(void)
{
    static const uint16_t sizes[] = {32, 64, 96, 128, 160, 256, 352, 512, 1024};
    ec_spec spec = {
        .n_obs = (uint16_t)(1 + draw_below(draw_below(8) ? 20 : 300)),
        .n_act = (uint16_t)(1 + draw_below(7)),
        .n_neurons = sizes[draw_below(9)],
        .form = (uint8_t)draw_below(2),
        .substeps = (uint8_t)(1 + draw_below(4)),
        .current_shift = (uint8_t)(1 + draw_below(7)),
        .membrane_shift = (uint8_t)(1 + draw_below(7)),
        .output_shift = (uint8_t)(1 + draw_below(7)),
        .recurrent_gain = (int8_t)((int)draw_below(15) - 7),
        .output_gain = (uint8_t)draw_below(13),
        .input_shift = (uint8_t)draw_below(8),
    };
    spec.n_exc = spec.form == EC_FORM_SIGNED ? spec.n_neurons : (uint16_t)draw_below(spec.n_neurons + 1u);
    return spec;
}

/* Words whose bits are set with one of several densities. */
static void draw_synapses(uint32_t *synapses, uint32_t n)
{
    uint32_t density = draw_below(5);
    for (uint32_t w = 0; w < n; w++) {
        uint32_t a = draw(), b = draw(), c = draw();
        const uint32_t words[] = {0, a & b & c, a, a | b | c, 0xFFFFFFFFu};
        synapses[w] = words[density];
    }
}

#define MEMBERS 3
#define STEPS   5

static uint32_t compare_steps(const char *kernel)
{
    ec_spec spec = draw_spec();
    uint32_t words = spec.n_neurons / 32u, n_obs = spec.n_obs;
    uint32_t n_words = (2 * n_obs + spec.n_neurons + spec.n_act) * words;
    uint32_t *synapses = malloc(4 * n_words), *stored = malloc(4 * n_words);
    ec_channel *map = calloc(n_obs, sizeof *map);
    draw_synapses(synapses, n_words);
    for (uint32_t i = 0; i < n_obs; i++) {
        map[i].offset = (int16_t)((int)draw_below(2000) - 1000);
        map[i].multiplier = (uint16_t)draw_below(32768);
        map[i].shift = (uint8_t)draw_below(17);
    }
    memcpy(stored, synapses, 4 * n_words);
    for (uint32_t row = 2 * n_obs + spec.n_exc; row < 2 * n_obs + spec.n_neurons; row++) {
        for (uint32_t w = 0; w < words; w++)
            stored[row * words + w] ^= 0xFFFFFFFFu;
    }
    ec_policy policy = {
        .spec = spec,
        .map = map,
        .w_in = stored,
        .w_rec = stored + 2 * n_obs * words,
        .w_out = stored + (2 * n_obs + spec.n_neurons) * words,
    };
    static uint32_t memory[8192];
    ec_net net;
    demand(ec_net_init(&net, &policy, memory, sizeof memory) == 0, "memory", kernel, &spec);

    ec_batch *batch = ec_batch_create(&spec, MEMBERS, 2, kernel);
    demand(batch && ec_batch_map(batch, map) == 0, "creation", kernel, &spec);
    for (uint32_t k = 0; k < MEMBERS; k++)
        ec_batch_load(batch, k, synapses);
    ec_batch_reset(batch, NULL);
    int16_t *raw = malloc(2 * MEMBERS * n_obs);
    int16_t output[MEMBERS * 64];
    static uint8_t expected[4096], actual[4096];
    uint32_t size = ec_net_state_size(&net);
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t i = 0; i < n_obs; i++)
            raw[i] = (int16_t)(map[i].offset + ((int)draw_below(65536) - 32768) / (1 << draw_below(15)));
        for (uint32_t k = 1; k < MEMBERS; k++)
            memcpy(raw + k * n_obs, raw, 2 * n_obs);
        ec_net_step(&net, raw);
        ec_batch_step(batch, raw, NULL, output);
        ec_net_state_read(&net, 0, expected, size);
        for (uint32_t k = 0; k < MEMBERS; k++) {
            ec_batch_state(batch, k, actual);
            demand(memcmp(expected, actual, size) == 0, "state", kernel, &spec);
        }
    }
    ec_batch_destroy(batch);
    free(raw);
    free(map);
    free(stored);
    free(synapses);
    return STEPS;
}

static void compare_evolution(const char *kernel)
{
    ec_spec spec = draw_spec();
    uint32_t words = spec.n_neurons / 32u;
    uint32_t n_words = (2u * spec.n_obs + spec.n_neurons + spec.n_act) * words;
    uint32_t population = 2 + draw_below(20), generation = draw();
    uint16_t *rho16 = malloc(64 * n_words);
    uint8_t *rho8 = malloc(32 * n_words);
    for (uint32_t i = 0; i < 32 * n_words; i++) {
        rho16[i] = (uint16_t)draw();
        rho8[i] = (uint8_t)draw();
    }
    int32_t *fitness = malloc(4 * population), *ranks = malloc(4 * population);
    for (uint32_t k = 0; k < population; k++)
        fitness[k] = (int32_t)draw_below(7);
    ec_ranks(fitness, population, ranks);
    ec_batch *batch = ec_batch_create(&spec, population, 2, kernel);
    uint32_t *synapses = malloc(4 * n_words);
    int32_t *expected = malloc(128 * n_words), *gradient = malloc(128 * n_words);
    ec_evolve evolve = {.rho = malloc(32 * n_words), .n_words = n_words, .seed = 9, .generation = generation};
    for (uint32_t w = 0; w < n_words; w++)
        ec_rho_pack(&evolve.rho[w], rho8 + 32 * w);
    for (uint32_t bits = 8; bits <= 16; bits += 8) {
        ec_batch_sample(batch, bits == 16 ? rho16 : NULL, bits == 8 ? rho8 : NULL, 9, generation, 100);
        memset(expected, 0, 128 * n_words);
        for (uint32_t k = 0; k < population; k++) {
            ec_batch_store(batch, k, synapses);
            for (uint32_t w = 0; w < n_words; w++) {
                uint32_t word;
                if (bits == 16)
                    word = ec_sample_word16(rho16 + 32 * w, 9, generation, 100 + k, w);
                else
                    ec_evolve_sample(&evolve, 100 + k, w, 1, &word);
                demand(synapses[w] == word, "sample", kernel, &spec);
                for (uint32_t i = 0; i < 32; i++)
                    expected[32 * w + i] += word >> i & 1 ? ranks[k] : 0;
            }
        }
        ec_batch_gradient(batch, ranks, gradient);
        demand(memcmp(expected, gradient, 128 * n_words) == 0, "gradient", kernel, &spec);
    }
    ec_batch_destroy(batch);
    free(evolve.rho);
    free(gradient);
    free(expected);
    free(synapses);
    free(ranks);
    free(fitness);
    free(rho8);
    free(rho16);
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 100;
    const char *kernel;
    for (uint32_t index = 0; (kernel = ec_batch_kernel_name(index)) != NULL; index++) {
        uint32_t steps = 0;
        for (uint32_t round = 0; round < rounds; round++)
            steps += compare_steps(kernel);
        for (uint32_t round = 0; round < rounds / 10 + 1; round++)
            compare_evolution(kernel);
        printf("%s: %u control steps equal\n", kernel, (unsigned)steps);
    }
    return 0;
}
