/* The AVR's assembly, on an AVR, held to plain C: any sums, currents, membranes and drives, and any
 * rows. Sends "equal" or what differs over USART0 as soon as it is asked. */
#include "ec_kernel.h"
#include "ec_list.h"
#include "ec_sum.h"

#define REGISTER(address) (*(volatile uint8_t *)(address))

#define WORDS 2u
#define ROUNDS (4u * (EC_FEW + 1u))

__attribute__((section(".vectors"), used, naked)) void test_vectors(void)
{
    __asm__ volatile("jmp _start");
}

static ec_group groups[WORDS];
static ec_group expected;
static uint32_t spikes[WORDS];
static uint8_t matrix[1 + 64 * 4 * WORDS];
static unsigned rows[64 + 16];
static uint32_t state = 1;

static uint8_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (uint8_t)(state >> 11);
}

/* Extremes more often than chance gives them. */
static int8_t draw_number(void)
{
    static const int8_t extremes[] = {-128, -127, -113, -112, -64, -1, 0, 1, 63, 64, 112, 126, 127};
    uint8_t chosen = draw() % 32u;
    return chosen < sizeof extremes ? extremes[chosen] : (int8_t)draw();
}

static void put_sum(ec_group *group, unsigned i, int8_t value)
{
    for (unsigned b = 0; b < 8; b++) {
        group->sum[b] &= ~((uint32_t)1 << i);
        group->sum[b] |= (uint32_t)((uint8_t)value >> b & 1u) << i;
    }
}

static int get_sum(const ec_group *group, unsigned i)
{
    uint8_t value = 0;
    for (unsigned b = 0; b < 8; b++)
        value |= (uint8_t)((group->sum[b] >> i & 1u) << b);
    return (int8_t)value;
}

static bool same(const void *a, const void *b, unsigned size)
{
    for (const uint8_t *x = a, *y = b; size; size--)
        if (*x++ != *y++)
            return false;
    return true;
}

/* In the sums of eight neurons the upper planes are the same, or some of them are not. */
static void draw_group(ec_group *group)
{
    uint8_t planes = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (i % 8u == 0)
            planes = draw();
        uint8_t bits = draw() & 0x0F;
        uint8_t few = bits & 0x08 ? bits | 0xF0 : bits;
        put_sum(group, i, (int8_t)(few ^ (draw() & planes & 0xF0)));
        ec_lanes_put(group->current, i, draw_number());
        ec_lanes_put(group->membrane, i, draw_number());
        ec_lanes_put(group->drive, i, draw_number());
    }
}

static const char *test_update(void)
{
    static const ec_spec spec = {
        .current_shift = EC_FAST_CURRENT_SHIFT,
        .membrane_shift = EC_FAST_MEMBRANE_SHIFT,
        .recurrent_gain = EC_FAST_RECURRENT_GAIN,
    };
    static ec_group before[WORDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned w = 0; w < WORDS; w++) {
            draw_group(&groups[w]);
            before[w] = groups[w];
        }
        ec_update_fast(groups, spikes, WORDS);
        for (unsigned w = 0; w < WORDS; w++) {
            expected = before[w];
            uint32_t fired = ec_update_group(&expected, &spec);
            if (fired != spikes[w] || !same(&expected, &groups[w], sizeof expected))
                return "the update differs";
        }
    }
    return 0;
}

static const char *test_sums(void)
{
    const uint8_t *column = matrix + 1; /* at any address */
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t words = (uint8_t)(1 + draw() % WORDS);
        uint8_t n_rows = (uint8_t)(round % (EC_FEW + 1u));
        uint8_t kind = (uint8_t)(round / (EC_FEW + 1u)); /* the largest sums, the smallest, any */
        int8_t start = (int8_t)-(int8_t)(kind == 0 ? 0 : kind == 1 ? n_rows : draw() % (n_rows + 1u));
        for (unsigned i = 0; i < sizeof matrix; i++)
            matrix[i] = kind == 0 ? 0xFF : kind == 1 ? 0 : draw();
        for (unsigned r = 0; r < n_rows; r++)
            rows[r] = 4u * words * (draw() % 64u);
        ec_sum_few(groups, (const uint32_t *)column, rows, n_rows, words, start);
        for (unsigned i = 0; i < 32u * words; i++) {
            int sum = start;
            for (unsigned r = 0; r < n_rows; r++)
                sum += column[rows[r] + i / 8u] >> i % 8u & 1;
            if (get_sum(&groups[i / 32u], i % 32u) != sum)
                return "the sum of few rows differs";
        }
    }
    return 0;
}

/* Excitatory neurons are the first n_exc: their rows and counts first. */
static const char *test_list(void)
{
    static uint8_t codes[64];
    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        unsigned n = draw() & 1u ? 64 : 32;
        unsigned n_exc = round % 3 == 0 ? n : draw() % (n + 1);
        uint8_t n_act = (uint8_t)(1 + draw() % 8u);
        uint8_t flip = draw() & 1u ? 0xFF : 0;
        uint8_t density = draw();
        uint8_t *bits = (uint8_t *)spikes;
        for (unsigned i = 0; i < n / 8u; i++)
            bits[i] = density & 1u ? draw() & draw() & draw() : density & 2u ? draw() : draw() | draw();
        for (unsigned i = 0; i < n; i++)
            codes[i] = draw() & (uint8_t)((1u << n_act) - 1u);
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
            rows[i] = 0xAAAA;
        ec_list list;
        unsigned *end = ec_list_rows(&list, bits, codes, rows, n_exc, (uint8_t)(n / 8u), flip, n_act);
        unsigned listed = 0;
        unsigned inhibitory = 0;
        int8_t counts[8] = {0};
        for (unsigned i = 0; i < n; i++) {
            if (!((bits[i / 8u] ^ flip) >> i % 8u & 1))
                continue;
            if (listed < (unsigned)(end - rows) && rows[listed] != i * (n / 8u))
                return "a row differs";
            listed++;
            inhibitory += i >= n_exc;
            for (unsigned a = 0; a < n_act; a++)
                counts[a] = (int8_t)(counts[a] + (codes[i] >> a & 1 ? i < n_exc ? 1 : -1 : 0));
        }
        unsigned n_rows = (unsigned)(end - rows);
        if (*end != 0xAAAA)
            return "the end of the rows differs";
        if (listed > n / 2u) {
            if (n_rows <= n / 2u || n_rows > listed || n_rows > n / 2u + 8u)
                return "the number of too many rows differs";
            continue;
        }
        if (n_rows != listed || (unsigned)(end - list.inhibitory) != inhibitory)
            return "the number of rows differs";
        if (!same(counts, list.counts, n_act))
            return "a count differs";
    }
    return 0;
}

static const char *test_filter(void)
{
    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        uint8_t n = (uint8_t)(1 + draw() % 8u);
        uint8_t shift = (uint8_t)(1 + draw() % 7u);
        uint8_t gain = draw() % 13u;
        int16_t output[8];
        int16_t before[8];
        int8_t counts[8];
        for (unsigned a = 0; a < n; a++) {
            counts[a] = draw_number();
            before[a] = output[a] = (int16_t)((uint8_t)draw_number() << 8 | (uint8_t)draw_number());
        }
        ec_filter(output, counts, n, shift, gain);
        for (unsigned a = 0; a < n; a++) {
            int32_t count = (int32_t)counts[a] * ((int32_t)1 << gain);
            int32_t o = before[a] - ec_asr(before[a], shift) + count;
            if (output[a] != ec_clamp(o, -32768, 32767))
                return "an output differs";
        }
    }
    return 0;
}

static void send(uint8_t byte)
{
    while (!(REGISTER(0xC0) & 0x20)) {
    }
    REGISTER(0xC6) = byte;
}

int main(void)
{
    REGISTER(0xC0) = 2;    /* UCSR0A: U2X */
    REGISTER(0xC4) = 16;   /* UBRR0L: 115,200 baud */
    REGISTER(0xC1) = 0x18; /* UCSR0B: receiver and transmitter */
    const char *words = test_update();
    if (!words)
        words = test_sums();
    if (!words)
        words = test_list();
    if (!words)
        words = test_filter();
    while (!(REGISTER(0xC0) & 0x80)) {
    }
    for (words = words ? words : "equal"; *words; words++)
        send((uint8_t)*words);
    send('\n');
    for (;;) {
    }
}
