/* Episodes in which the host acts on the device's plant: docs/LINK.md section 3, and section 4, 0x0D and
 * 0x0E.
 */
#include "harness.h"

static const int16_t acts[][MAX_ACT] = {{100, -200, 300, 7}, {-2048, 2048, 5, -9}, {-INT16_MAX, INT16_MAX, 0, 1}};

#define N_ACTS (sizeof acts / sizeof acts[0])

static uint32_t told32(uint32_t offset)
{
    return ec_get32(reply + offset);
}

static int32_t told16(uint32_t offset)
{
    return ec_signed16(ec_get16(reply + offset));
}

/* What sense gives in this step of the episode, where the reply tells it. */
static void check_counts(uint32_t first, unsigned step)
{
    const ec_spec *spec = &device.policy->spec;
    CHECK_EQUAL(48 + 2 * spec->n_act + 2 * spec->n_obs, reply_length);
    for (uint32_t i = 0; i < spec->n_obs; i++)
        CHECK_EQUAL((int32_t)((first + step * 7919u + i * 104729u) % 4001u) - 2000,
                    told16(48u + 2u * spec->n_act + 2u * i));
}

static void check_applied(const int16_t *expected)
{
    for (unsigned a = 0; a < device.policy->spec.n_act; a++) {
        CHECK_EQUAL(expected[a], told16(48u + 2u * a));
        CHECK_EQUAL(expected[a], outputs[a]);
    }
}

static void test_a_host_acts_where_the_network_would(void)
{
    static const int16_t none[MAX_ACT] = {0};
    connect();
    clocked.reward = -3 * EC_REWARD_ONE;
    CHECK_EQUAL(EC_OK, ask_hosted(5, 100, 0, SILENCE_MS));
    CHECK_EQUAL(EC_MODE_HOSTED, reply[1]);
    CHECK_EQUAL(EC_END_RUNS, reply[2]);
    CHECK_EQUAL(5, clocked.seed);
    CHECK_EQUAL(0, told32(4));
    CHECK_EQUAL(0, told32(16));
    check_applied(none);
    check_counts(5, 0);
    uint32_t crc = 0;
    for (unsigned t = 0; t < N_ACTS; t++) {
        crc = ec_crc32(crc, raw, 2u * device.policy->spec.n_obs);
        crc = ec_crc32(crc, acts[t], 2u * device.policy->spec.n_act);
        CHECK_EQUAL(EC_OK, ask_act(acts[t]));
        CHECK_EQUAL(EC_MODE_HOSTED, reply[1]);
        CHECK_EQUAL(EC_END_RUNS, reply[2]);
        CHECK_EQUAL(t + 1, told32(4));
        CHECK_EQUAL(0, told32(8) + told32(12));
        CHECK_EQUAL(crc, told32(16));
        CHECK_EQUAL(-3 * EC_REWARD_ONE * (int32_t)(t + 1), (int32_t)told32(40));
        CHECK_EQUAL(UINT32_MAX, told32(44));
        check_applied(acts[t]);
        check_counts(5, t + 1);
        CHECK_EQUAL(t + 1, plant.applied);
    }
    CHECK_EQUAL(0, device.statistics.steps); /* the network took none */
    uint8_t told[EC_EPISODE_SIZE];
    memcpy(told, reply, sizeof told);
    CHECK_EQUAL(EC_OK, ask(EC_RESULT, NULL, 0));
    CHECK(memcmp(told, reply, sizeof told) == 0);
}

static void test_limits_hold_for_a_host(void)
{
    uint8_t payload[4 + 2 * EC_LIMIT_SIZE] = {0};
    const ec_limit narrow = {-50, 50, 20};
    connect();
    ec_limit_put(&narrow, payload + 4);
    ec_limit_put(&narrow, payload + 4 + EC_LIMIT_SIZE);
    CHECK_EQUAL(EC_OK, ask(EC_LIMITS, payload, sizeof payload));
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 0, SILENCE_MS));
    for (int t = 1; t <= 4; t++) {
        int expected = t < 3 ? 20 * t : 50;
        CHECK_EQUAL(EC_OK, ask_act(acts[0]));
        CHECK_EQUAL(expected, told16(48));
        CHECK_EQUAL(-expected, told16(50));
        CHECK_EQUAL(2 * t, told32(8));
        CHECK_EQUAL(2 * t, device.statistics.clamps);
    }
}

static void test_a_hosted_episode_ends_by_its_plant_or_its_steps(void)
{
    const struct {
        uint8_t verdict, end, mode;
    } cases[] = {
        {EC_PLANT_GOES_ON, EC_END_STEPS, EC_MODE_IDLE},
        {EC_PLANT_ENDED, EC_END_DONE, EC_MODE_IDLE},
        {EC_PLANT_FAILED, EC_END_FAULT, EC_MODE_SAFE},
        {77, EC_END_FAULT, EC_MODE_SAFE},
    };
    for (unsigned i = 0; i < 4; i++) {
        connect();
        clocked.ends = N_ACTS;
        clocked.verdict = cases[i].verdict;
        CHECK_EQUAL(EC_OK, ask_hosted(1, N_ACTS, 0, SILENCE_MS));
        for (unsigned t = 0; t < N_ACTS; t++) {
            CHECK_EQUAL(EC_MODE_HOSTED, device.mode);
            CHECK_EQUAL(EC_OK, ask_act(acts[t]));
        }
        CHECK_EQUAL(cases[i].mode, reply[1]);
        CHECK_EQUAL(cases[i].mode, device.mode);
        CHECK_EQUAL(cases[i].end, reply[2]);
        CHECK_EQUAL(N_ACTS, told32(4));
        CHECK_EQUAL(acts[N_ACTS - 1][0], told16(48)); /* what was applied; now nothing is */
        CHECK_EQUAL(0, outputs[0]);
        check_counts(1, N_ACTS);
        CHECK_EQUAL(EC_REFUSED_MODE, ask_act(acts[0]));
        CHECK_EQUAL(cases[i].mode, detail());
        CHECK_EQUAL(EC_OK, ask_hosted(1, 1, 0, SILENCE_MS));
    }
}

static void test_a_plant_is_observed_when_its_period_is_over(void)
{
    connect();
    tick_cost = 1;
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 1000, SILENCE_MS));
    uint32_t begun = device.episode.due;
    clock_ticks += 400;
    CHECK_EQUAL(EC_OK, ask_act(acts[0]));
    CHECK(1000 <= clock_ticks - begun && clock_ticks - begun < 1010);
    CHECK_EQUAL(0, told32(12));
    clock_ticks += 990;
    CHECK_EQUAL(EC_OK, ask_act(acts[1])); /* just in time */
    CHECK_EQUAL(begun + 2000, device.episode.due);
    CHECK_EQUAL(0, told32(12));
    clock_ticks += 1001; /* too late: a miss, and the schedule goes on from here */
    uint32_t late = clock_ticks;
    CHECK_EQUAL(EC_OK, ask_act(acts[2]));
    CHECK(clock_ticks - late < 10);
    CHECK_EQUAL(1, told32(12));
    CHECK_EQUAL(EC_OK, ask_act(acts[0]));
    CHECK(1000 <= clock_ticks - late && clock_ticks - late < 1010);
    CHECK_EQUAL(1, told32(12));
}

static void test_only_a_host_that_acts_keeps_safety_away(void)
{
    connect();
    ec_device_poll(&device, 10);
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 0, SILENCE_MS));
    uint32_t ms = 10;
    for (unsigned i = 0; i < 6; i++) {
        ec_device_poll(&device, ms);
        if (i % 2) /* the last one again, by its sequence */
            sequence--;
        CHECK_EQUAL(EC_OK, ask_act(acts[0]));
        ec_device_poll(&device, ms);
        ms += SILENCE_MS;
    }
    CHECK_EQUAL(EC_OK, ask(EC_RESULT, NULL, 0));
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    ec_device_poll(&device, ms);
    CHECK_EQUAL(EC_MODE_HOSTED, device.mode);
    ec_device_poll(&device, ms + 1);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    CHECK_EQUAL(0, outputs[0]);
    CHECK_EQUAL(EC_REFUSED_MODE, ask_act(acts[0]));
    CHECK_EQUAL(EC_MODE_SAFE, detail());
    CHECK_EQUAL(EC_OK, ask(EC_RESULT, NULL, 0));
    CHECK_EQUAL(EC_END_SILENCE, reply[2]);
}

static void test_a_repeated_act_is_taken_once(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 0, SILENCE_MS));
    sequence--;
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 0, SILENCE_MS));
    CHECK_EQUAL(1, clocked.begun);
    CHECK_EQUAL(EC_OK, ask_act(acts[0]));
    sequence--;
    CHECK_EQUAL(EC_OK, ask_act(acts[0]));
    CHECK_EQUAL(1, clocked.judged);
    CHECK_EQUAL(1, plant.applied);
    check_counts(0, 1);
}

static void test_other_requests_end_a_hosted_episode(void)
{
    for (unsigned way = 0; way < 5; way++) {
        connect();
        CHECK_EQUAL(EC_OK, ask_hosted(1, 100, 0, SILENCE_MS));
        CHECK_EQUAL(EC_OK, ask_act(acts[0]));
        CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
        CHECK_EQUAL(EC_MODE_HOSTED, detail());
        CHECK_EQUAL(EC_NEVER, ec_device_clock(&device));
        CHECK_EQUAL(acts[0][0], outputs[0]);
        uint8_t mode = EC_MODE_IDLE;
        switch (way) {
        case 0: CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0)); break;
        case 1: CHECK_EQUAL(EC_OK, ask_reset(0)); mode = EC_MODE_RUN; break;
        case 2: CHECK_EQUAL(EC_OK, ask_begin(other.size)); break;
        case 3: CHECK_EQUAL(EC_OK, ask_episode(2, 1, 0, 0)); mode = EC_MODE_CLOCKED; break;
        default:
            clocked.refusal = 9;
            CHECK_EQUAL(EC_REFUSED_PLANT, ask_hosted(2, 100, 0, SILENCE_MS));
            CHECK_EQUAL(9, detail());
        }
        CHECK_EQUAL(mode, device.mode);
        CHECK_EQUAL(0, outputs[0]);
        CHECK_EQUAL(EC_REFUSED_MODE, ask_act(acts[0]));
        CHECK_EQUAL(mode, detail());
    }
}

static void test_an_impossible_hosted_episode_is_refused_and_ends_none(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_hosted(0, 100, 0, SILENCE_MS));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_hosted(0, 0, 0, SILENCE_MS));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_hosted(0, 1, config.tick_hz + 1, SILENCE_MS));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_hosted(0, 1, 0, 0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_hosted(0, 1, 0, EC_SILENCE_MS_LEAST - 1));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_hosted(0, 1, 0, EC_SILENCE_MS_MOST + 1));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_BEGIN, hello, 6));
    CHECK_EQUAL(16, detail());
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_ACT, hello, 1));
    CHECK_EQUAL(2 * device.policy->spec.n_act, detail());
    CHECK_EQUAL(1, clocked.begun);
    CHECK_EQUAL(0, plant.applied);
    CHECK_EQUAL(EC_OK, ask_act(acts[0]));
    CHECK_EQUAL(EC_OK, ask_hosted(0, UINT32_MAX, config.tick_hz, EC_SILENCE_MS_MOST));
}

static void test_what_a_reply_does_not_hold_is_refused(void)
{
    connect();
    uint16_t size = (uint16_t)(EC_EPISODE_SIZE + 2u * (device.policy->spec.n_act + device.policy->spec.n_obs));
    config.max_payload = (uint16_t)(size - 1u);
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_hosted(0, 1, 0, SILENCE_MS));
    CHECK_EQUAL(size - 1, detail());
    CHECK_EQUAL(0, clocked.begun);
    config.max_payload = size;
    CHECK_EQUAL(EC_OK, ask_hosted(0, 1, 0, SILENCE_MS));
}

static void test_no_host_acts_without_a_plant_or_a_policy(void)
{
    configure();
    config.rig.plant = NULL;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_PLANT, ask_hosted(0, 1, 0, SILENCE_MS));
    CHECK_EQUAL(0, detail());
    CHECK_EQUAL(EC_REFUSED_MODE, ask_act(acts[0]));
    configure();
    config.builtin_size = 0;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_hosted(0, 1, 0, SILENCE_MS));
    CHECK_EQUAL(EC_REFUSED_MODE, ask_act(acts[0]));
    CHECK_EQUAL(0, clocked.begun);
}
