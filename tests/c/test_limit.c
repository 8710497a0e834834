/* Limits: docs/LINK.md section 3, and section 4, 0x0A.
 */
#include "harness.h"

#define WIDEST (ec_limit)EC_LIMIT_NONE

static uint8_t ask_limits(uint32_t first, const ec_limit *wanted, unsigned n)
{
    uint8_t payload[4 + EC_LIMIT_SIZE * MAX_ACT];
    ec_put32(payload, first);
    for (unsigned i = 0; i < n; i++)
        ec_limit_put(&wanted[i], payload + 4 + EC_LIMIT_SIZE * i);
    return ask(EC_LIMITS, payload, 4 + EC_LIMIT_SIZE * n);
}

static uint8_t ask_limit(uint32_t output, int16_t low, int16_t high, uint16_t slew)
{
    const ec_limit wanted = {low, high, slew};
    return ask_limits(output, &wanted, 1);
}

/* What the last STEP's reply says of the network, beside what was applied. */
static int16_t wanted_output(unsigned a)
{
    return (int16_t)ec_signed16(ec_get16(reply + 12 + 2 * a));
}

static unsigned changed_outputs(void)
{
    unsigned n = 0;
    for (unsigned a = 0; a < device.policy->spec.n_act; a++)
        n += outputs[a] != wanted_output(a);
    return n;
}

static void test_an_output_is_the_nearest_that_is_allowed(void)
{
    const struct {
        ec_limit limit;
        int16_t output, before, applied;
    } cases[] = {
        {WIDEST, INT16_MIN, INT16_MAX, INT16_MIN},
        {WIDEST, INT16_MAX, INT16_MIN, INT16_MAX},
        {{-100, 200, UINT16_MAX}, -101, 0, -100},
        {{-100, 200, UINT16_MAX}, 201, 0, 200},
        {{-100, 200, UINT16_MAX}, 200, 0, 200},
        {{-100, 200, 30}, 200, 0, 30},
        {{-100, 200, 30}, 200, 180, 200},
        {{-100, 200, 30}, -100, 0, -30},
        {{-100, 200, 0}, 200, 7, 7},
        {{100, 200, 30}, 150, 0, 30}, /* the slew leads to the range */
        {{100, 200, 30}, 150, 90, 120},
        {{100, 200, 30}, 150, 500, 470},
        {{INT16_MIN, INT16_MAX, 1}, INT16_MAX, INT16_MIN, INT16_MIN + 1},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQUAL(cases[i].applied, ec_limit_output(&cases[i].limit, cases[i].output, cases[i].before));
}

static void test_nothing_is_limited_before_a_host_says_so(void)
{
    begin_episode();
    CHECK_EQUAL(0, changed_outputs());
    CHECK_EQUAL(0, device.statistics.clamps);
    for (unsigned a = 0; a < MAX_ACT; a++)
        CHECK(memcmp(&limits[a], &WIDEST, sizeof limits[a]) == 0);
}

static void test_limits_change_what_is_applied_and_nothing_else(void)
{
    uint32_t free_digest, free_clamps = 0;
    begin_episode();
    free_digest = ec_get32(reply + 8);
    begin_episode();
    CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
    for (unsigned a = 0; a < MAX_ACT; a++)
        CHECK_EQUAL(EC_OK, ask_limit(a, -5, 5, 2));
    int16_t before[MAX_ACT] = {0}; /* the safe action */
    for (unsigned t = 0; t < 5; t++) {
        CHECK_EQUAL(EC_OK, ask_step(t));
        for (unsigned a = 0; a < device.policy->spec.n_act; a++) {
            int32_t range = ec_clamp(wanted_output(a), -5, 5);
            CHECK_EQUAL(ec_clamp(range, before[a] - 2, before[a] + 2), outputs[a]);
            before[a] = outputs[a];
        }
        free_clamps += changed_outputs();
    }
    CHECK_EQUAL(free_digest, ec_get32(reply + 8));
    CHECK(free_clamps > 0);
    CHECK_EQUAL(free_clamps, device.statistics.clamps);
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(free_clamps, ec_get32(reply + 36));
    CHECK_EQUAL(outputs[0], ec_signed16(ec_get16(reply + 48)));
}

static void test_the_slew_counts_from_what_the_hook_applied(void)
{
    begin_episode();
    CHECK_EQUAL(EC_OK, ask_limit(0, 1000, 1000, 10));
    plant.rest = 100;
    CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
    CHECK_EQUAL(100, outputs[0]); /* the safe action is nobody's to limit */
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(110, outputs[0]);
    plant.limit = 50; /* what the plant bears, the hook knows */
    CHECK_EQUAL(EC_OK, ask_step(1));
    CHECK_EQUAL(50, outputs[0]);
    CHECK_EQUAL(EC_OK, ask_step(2));
    CHECK_EQUAL(50, outputs[0]);
    plant.limit = INT16_MAX;
    CHECK_EQUAL(EC_OK, ask_step(3));
    CHECK_EQUAL(60, outputs[0]);
}

static void test_limits_hold_until_others_come(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_limit(1, -7, 9, 3));
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, SESSION + 1, 1, hello, sizeof hello)));
    CHECK(limits[1].low == -7 && limits[1].high == 9 && limits[1].slew == 3);
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_OK, ask_limits(1, &WIDEST, 1));
    CHECK(memcmp(&limits[1], &WIDEST, sizeof limits[1]) == 0);
}

static void test_limits_of_several_outputs_are_all_set_or_none(void)
{
    const ec_limit wanted[] = {{-1, 1, 5}, {-2, 2, 6}, {3, -3, 7}};
    connect();
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_limits(0, wanted, 3));
    for (unsigned a = 0; a < MAX_ACT; a++)
        CHECK(memcmp(&limits[a], &WIDEST, sizeof limits[a]) == 0);
    CHECK_EQUAL(EC_OK, ask_limits(2, wanted, 2));
    CHECK_EQUAL(4 + 2 * EC_LIMIT_SIZE, reply_length);
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(0, ec_get16(reply + 2));
    CHECK(memcmp(limits + 2, wanted, 2 * sizeof wanted[0]) == 0);
    CHECK_EQUAL(-1, ec_signed16(ec_get16(reply + 4)));
    CHECK_EQUAL(6, ec_get16(reply + 4 + EC_LIMIT_SIZE + 4));
}

static void test_limits_outside_of_the_device_are_refused(void)
{
    const ec_limit wanted[MAX_ACT] = {{0, 0, 0}};
    const uint32_t firsts[] = {1, MAX_ACT, MAX_ACT + 1, UINT32_MAX, UINT32_MAX - MAX_ACT + 1};
    connect();
    for (unsigned i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_limits(firsts[i], wanted, MAX_ACT));
        CHECK_EQUAL(MAX_ACT, detail());
    }
    for (uint32_t length = 0; length <= MAX_PAYLOAD; length++) {
        static const uint8_t zeros[MAX_PAYLOAD];
        bool whole = length > 4 && (length - 4) % EC_LIMIT_SIZE == 0;
        bool fits = whole && (length - 4) / EC_LIMIT_SIZE <= MAX_ACT;
        uint8_t status = ask(EC_LIMITS, zeros, length);
        CHECK_EQUAL(fits ? EC_OK : whole ? EC_REFUSED_CAPACITY : EC_REFUSED_LENGTH, status);
    }
}

static void bears(void *context, unsigned output, ec_limit *limit)
{
    CHECK(context == &plant);
    if (output == 1)
        *limit = (ec_limit){-20, 30, 8};
}

static void test_a_host_can_narrow_what_the_plant_bears_and_never_widen_it(void)
{
    configure();
    config.rig.limit = bears;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK(limits[1].low == -20 && limits[1].high == 30 && limits[1].slew == 8);
    CHECK(memcmp(&limits[0], &WIDEST, sizeof limits[0]) == 0);
    CHECK_EQUAL(EC_OK, ask_limit(1, -100, 10, 100));
    CHECK_EQUAL(-20, ec_signed16(ec_get16(reply + 4)));
    CHECK_EQUAL(10, ec_signed16(ec_get16(reply + 6)));
    CHECK_EQUAL(8, ec_get16(reply + 8));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_limit(1, 31, 100, 100)); /* nothing keeps to both */
    CHECK(limits[1].low == -20 && limits[1].high == 10);
    CHECK_EQUAL(EC_OK, ask_limits(1, &WIDEST, 1));
    CHECK(limits[1].low == -20 && limits[1].high == 30 && limits[1].slew == 8);
}
