/* Assembly of firmware/kernels, held to the core's C on random planes. The core's functions are renamed
 * to core_...; exits with 1 and says where they differ. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_list.h"
#include "ec_random.h"

#define WORDS  5u
#define N_ROWS 40u

void core_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
                  unsigned words, const uint32_t *start);
void core_update_fast(ec_group *groups, uint32_t *spikes, unsigned words);
int8_t core_lanes_get(const uint32_t *lanes, unsigned i);
void core_list_rows(const ec_net *net, uint32_t flip, ec_list *list);

static uint32_t drawn;

/* A word whose bits are set with one of several densities: sums then leave the range both ways. */
static uint32_t draw(void)
{
    ec_random_pair pair = ec_random(1, 2, drawn++, 0);
    ec_random_pair more = ec_random(1, 2, drawn++, 0);
    uint32_t a = pair.x0, b = pair.x1, c = more.x0;
    const uint32_t words[] = {0, a & b & c, a, a, a, a | b | c, 0xFFFFFFFFu};
    return words[more.x1 % 7u];
}

static void demand(bool holds, const char *what, unsigned turn)
{
    if (holds)
        return;
    printf("%s differs, turn %u\n", what, turn);
    exit(1);
}

/* As a network has them: membrane potentials are below 64, drives above -128. */
static void draw_groups(ec_group *groups)
{
    uint32_t *word = (uint32_t *)groups;
    for (unsigned i = 0; i < WORDS * sizeof *groups / 4u; i++)
        word[i] = draw();
    for (unsigned w = 0; w < WORDS; w++) {
        const uint32_t *drive = groups[w].drive;
        uint32_t above = drive[1] | drive[2] | drive[3] | drive[4] | drive[5] | drive[6];
        groups[w].membrane[6] &= groups[w].membrane[7];
        groups[w].drive[0] |= drive[7] & ~above;
    }
}

/* The core's groups in the kernel's lanes. */
static void put_lanes(ec_group *group, const ec_group *core)
{
    for (unsigned i = 0; i < 32; i++) {
        ec_lanes_put(group->current, i, core_lanes_get(core->current, i));
        ec_lanes_put(group->membrane, i, core_lanes_get(core->membrane, i));
    }
    ec_lanes_put_drive(group->drive, core->drive);
    memcpy(group->sum, core->sum, sizeof group->sum);
}

static bool alike(const uint32_t *lanes, const uint32_t *core)
{
    for (unsigned i = 0; i < 32; i++)
        if (ec_lanes_get(lanes, i) != core_lanes_get(core, i))
            return false;
    return true;
}

/* Groups in the core's planes and in the kernel's lanes, before and after a step, and their spikes.
 * Nothing is written behind the last. */
typedef struct {
    ec_group groups[WORDS + 1], before[WORDS + 1], expected[WORDS];
    uint32_t spikes[WORDS + 1], expected_spikes[WORDS + 1];
} step;

static step draw_step(void)
{
    step drawn_step = {0};
    draw_groups(drawn_step.expected);
    for (unsigned w = 0; w < WORDS; w++)
        put_lanes(&drawn_step.groups[w], &drawn_step.expected[w]);
    memcpy(drawn_step.before, drawn_step.groups, sizeof drawn_step.groups);
    return drawn_step;
}

static void demand_equal(const step *made, unsigned turn)
{
    demand(!memcmp(made->spikes, made->expected_spikes, sizeof made->spikes), "spikes", turn);
    for (unsigned w = 0; w < WORDS; w++) {
        const ec_group *group = &made->groups[w];
        demand(alike(group->current, made->expected[w].current), "current", turn);
        demand(alike(group->membrane, made->expected[w].membrane), "membrane", turn);
        demand(!memcmp(group->drive, made->before[w].drive, 32), "drive", turn);
    }
    demand(!memcmp(&made->groups[WORDS], &made->before[WORDS], sizeof(ec_group)), "end", turn);
}

static void test_update_fast(unsigned turn)
{
    step made = draw_step();
    ec_update_fast(made.groups, made.spikes, WORDS);
    core_update_fast(made.expected, made.expected_spikes, WORDS);
    demand_equal(&made, turn);
}

/* Random columns, and the places of 0 ... EC_FEW rows in them. */
static unsigned draw_rows(uint32_t columns[N_ROWS * WORDS], unsigned rows[EC_FEW], unsigned turn)
{
    unsigned n_rows = turn % (EC_FEW + 1u);
    for (unsigned i = 0; i < N_ROWS * WORDS; i++)
        columns[i] = draw();
    for (unsigned i = 0; i < n_rows; i++)
        rows[i] = 4 * WORDS * (ec_random(1, 3, drawn++, 0).x0 % N_ROWS);
    return n_rows;
}

#if EC_HAS_STEP_FEW
static void test_step_few(unsigned turn)
{
    uint32_t columns[N_ROWS * WORDS];
    uint32_t start[EC_FEW_PLANES];
    unsigned rows[EC_FEW];
    unsigned n_rows = draw_rows(columns, rows, turn);
    unsigned n_inh = ec_random(1, 5, drawn++, 0).x0 % (n_rows + 1u);
    for (unsigned b = 0; b < EC_FEW_PLANES; b++)
        start[b] = ec_plane_of(-(int32_t)n_inh, b);
    step made = draw_step();
    ec_policy policy = {.spec = {.n_neurons = 32 * WORDS}, .w_rec = columns};
    ec_net net = {.policy = &policy,
                  .spikes = made.spikes,
                  .groups = made.groups,
                  .rows = rows,
                  .n_rows = (uint16_t)n_rows,
                  .n_spiking = (uint16_t)n_rows,
                  .n_inh_spiking = (uint16_t)n_inh};
    ec_step_few(&net);
    core_add_few(made.expected, columns, rows, n_rows, WORDS, start);
    core_update_fast(made.expected, made.expected_spikes, WORDS);
    demand_equal(&made, turn);
}
#else
static void test_step_few(unsigned turn)
{
    (void)turn;
}
#endif

static void test_add_few(unsigned turn)
{
    ec_group groups[WORDS], expected[WORDS];
    uint32_t columns[N_ROWS * WORDS];
    uint32_t start[EC_FEW_PLANES];
    unsigned rows[EC_FEW];
    unsigned n_rows = draw_rows(columns, rows, turn);
    for (unsigned b = 0; b < EC_FEW_PLANES; b++)
        start[b] = draw();
    draw_groups(groups);
    memcpy(expected, groups, sizeof groups);
    ec_add_few(groups, columns, rows, n_rows, WORDS, start);
    core_add_few(expected, columns, rows, n_rows, WORDS, start);
    demand(!memcmp(groups, expected, sizeof groups), "sum", turn);
}

static void test_list_rows(unsigned turn)
{
    uint32_t drawn_numbers = ec_random(1, 4, turn, 0).x0;
    unsigned n = 32 * (1 + drawn_numbers % WORDS);
    uint32_t w_out[8 * WORDS] = {0};
    ec_policy policy = {.spec = {.n_act = 1 + (drawn_numbers >> 8) % 8u,
                                 .n_neurons = (uint16_t)n,
                                 .n_exc = (uint16_t)((drawn_numbers >> 16) % (n + 1u))},
                        .w_out = w_out};
    uint32_t spikes[WORDS];
    uint8_t codes[32 * WORDS];
    unsigned rows[32 * WORDS], expected_rows[32 * WORDS];
    ec_net net = {.policy = &policy, .spikes = spikes, .codes = codes, .rows = rows};
    ec_list list = {0}, expected = {0};
    for (unsigned w = 0; w < WORDS; w++)
        spikes[w] = draw();
    for (unsigned i = 0; i < n; i++) {
        unsigned code = draw() % (1u << policy.spec.n_act);
        codes[i - i % 32u + ec_list_place(i % 32u)] = (uint8_t)code;
        for (unsigned a = 0; a < policy.spec.n_act; a++)
            w_out[a * (n / 32u) + i / 32u] |= (uint32_t)((code >> a) & 1u) << i % 32u;
    }
    uint32_t flip = turn % 2 ? 0xFFFFFFFFu : 0;
    ec_list_rows(&net, flip, &list);
    net.rows = expected_rows;
    core_list_rows(&net, flip, &expected);
    demand(list.n_rows == expected.n_rows, "number of rows", turn);
    demand(list.n_inh == expected.n_inh, "number of inhibitory rows", turn);
    demand(!memcmp(rows, expected_rows, list.n_rows * sizeof *rows), "rows", turn);
    if (list.n_rows <= 64) {
        demand(list.low == expected.low, "low", turn);
        if (policy.spec.n_act > EC_LIST_FIELDS)
            demand(list.high == expected.high, "high", turn);
    }
}

int main(int argc, char **argv)
{
    unsigned turns = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    for (unsigned turn = 0; turn < turns; turn++) {
        test_update_fast(turn);
        test_add_few(turn);
        test_step_few(turn);
        test_list_rows(turn);
    }
    printf("%u turns equal\n", turns);
    return 0;
}
