/* Assembly of firmware/kernels, held to the core's C on random planes. The core's functions are renamed
 * to core_...; exits with 1 and says where they differ. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_kernel.h"
#include "ec_random.h"

#define WORDS  5u
#define N_ROWS 40u

void core_add_few(ec_group *groups, const uint32_t *column, const unsigned *row, unsigned n_rows,
                  unsigned words, const uint32_t *start);
void core_update_fast(ec_group *groups, uint32_t *spikes, unsigned words);

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

/* As a network has them: membrane potentials are below 64. */
static void draw_groups(ec_group *groups)
{
    uint32_t *word = (uint32_t *)groups;
    for (unsigned i = 0; i < WORDS * sizeof *groups / 4u; i++)
        word[i] = draw();
    for (unsigned w = 0; w < WORDS; w++)
        groups[w].membrane[6] &= groups[w].membrane[7];
}

static void test_update_fast(unsigned turn)
{
    ec_group groups[WORDS], expected[WORDS];
    uint32_t spikes[WORDS + 1] = {0}, expected_spikes[WORDS + 1] = {0};
    draw_groups(groups);
    memcpy(expected, groups, sizeof groups);
    ec_update_fast(groups, spikes, WORDS);
    core_update_fast(expected, expected_spikes, WORDS);
    demand(!memcmp(spikes, expected_spikes, sizeof spikes), "spikes", turn);
    for (unsigned w = 0; w < WORDS; w++) {
        demand(!memcmp(groups[w].current, expected[w].current, 32), "current", turn);
        demand(!memcmp(groups[w].membrane, expected[w].membrane, 32), "membrane", turn);
        demand(!memcmp(groups[w].drive, expected[w].drive, 32), "drive", turn);
    }
}

static void test_add_few(unsigned turn)
{
    ec_group groups[WORDS], expected[WORDS];
    uint32_t columns[N_ROWS * WORDS];
    uint32_t start[EC_FEW_PLANES];
    unsigned rows[EC_FEW];
    unsigned n_rows = turn % (EC_FEW + 1u);
    for (unsigned i = 0; i < N_ROWS * WORDS; i++)
        columns[i] = draw();
    for (unsigned b = 0; b < EC_FEW_PLANES; b++)
        start[b] = draw();
    for (unsigned i = 0; i < n_rows; i++)
        rows[i] = 4 * WORDS * (ec_random(1, 3, drawn++, 0).x0 % N_ROWS);
    draw_groups(groups);
    memcpy(expected, groups, sizeof groups);
    ec_add_few(groups, columns, rows, n_rows, WORDS, start);
    core_add_few(expected, columns, rows, n_rows, WORDS, start);
    demand(!memcmp(groups, expected, sizeof groups), "sum", turn);
}

int main(int argc, char **argv)
{
    unsigned turns = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    for (unsigned turn = 0; turn < turns; turn++) {
        test_update_fast(turn);
        test_add_few(turn);
    }
    printf("%u turns equal\n", turns);
    return 0;
}
