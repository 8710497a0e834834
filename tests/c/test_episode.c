/* Device-clocked episodes: docs/LINK.md section 3, and section 4, 0x0B and 0x0C.
 */
#include "harness.h"

#define STEPS  20u
#define PERIOD 1000u

static uint8_t ask_result(void)
{
    return ask(EC_RESULT, NULL, 0);
}

static uint32_t result32(unsigned offset)
{
    return ec_get32(reply + offset);
}

/* Lets the device take steps at its own pace until the episode is over. */
static void run_on(void)
{
    for (unsigned i = 0; device.mode == EC_MODE_CLOCKED; i++) {
        uint32_t wait = ec_device_clock(&device);
        if (wait != EC_NEVER)
            clock_ticks += wait;
        CHECK(i < 100000);
    }
}

static void test_an_episode_runs_to_its_last_step_by_itself(void)
{
    connect();
    clocked.reward = 3 * EC_REWARD_ONE;
    CHECK_EQUAL(EC_OK, ask_episode(5, STEPS, 0, 0));
    CHECK_EQUAL(2, reply_length);
    CHECK_EQUAL(EC_MODE_CLOCKED, reply[1]);
    CHECK_EQUAL(5, clocked.seed);
    run_on();
    CHECK_EQUAL(STEPS, clocked.judged);
    CHECK_EQUAL(STEPS, plant.applied);
    CHECK_EQUAL(EC_NEVER, ec_device_clock(&device));
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK_EQUAL(64, reply_length);
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(EC_END_STEPS, reply[2]);
    CHECK_EQUAL(0, reply[3]);
    CHECK_EQUAL(STEPS, result32(4));
    CHECK_EQUAL(0, result32(8));
    CHECK_EQUAL(0, result32(20));
    CHECK_EQUAL(STEPS * 3 * EC_REWARD_ONE, result32(40));
    CHECK_EQUAL(0, result32(44));
    CHECK(memcmp(reply + 48, "a plant of tests", 16) == 0);
    CHECK_EQUAL(STEPS, device.statistics.steps);
}

/* The network alone, fed with what the plant senses. */
static uint32_t trajectory_of(uint32_t first, unsigned steps)
{
    static uint32_t memory[sizeof net_memory / 4];
    int16_t counts[MAX_OBS];
    uint32_t crc = 0;
    ec_net net;
    CHECK_EQUAL(0, ec_net_init(&net, device.policy, memory, sizeof memory));
    for (unsigned t = 0; t < steps; t++) {
        for (unsigned i = 0; i < device.policy->spec.n_obs; i++)
            counts[i] = (int16_t)((int)((first + t * 7919u + i * 104729u) % 4001u) - 2000);
        ec_net_step(&net, counts);
        crc = ec_crc32(crc, counts, 2u * device.policy->spec.n_obs);
        crc = ec_crc32(crc, net.output, 2u * device.policy->spec.n_act);
    }
    return crc;
}

static void test_the_trajectory_is_of_counts_and_outputs_applied(void)
{
    connect();
    for (uint32_t first = 0; first < 3; first++) {
        CHECK_EQUAL(EC_OK, ask_episode(first, STEPS, 0, 0));
        run_on();
        CHECK_EQUAL(EC_OK, ask_result());
        CHECK_EQUAL(trajectory_of(first, STEPS), result32(16));
    }
    uint32_t wide = result32(16);
    plant.limit = 5; /* the hook's clamps are clamps, and part of the trajectory */
    CHECK_EQUAL(EC_OK, ask_episode(2, STEPS, 0, 0));
    run_on();
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK(result32(8) > 0 && result32(16) != wide);
    CHECK_EQUAL(device.statistics.clamps, result32(8));
}

static void test_a_reward_of_the_largest_numbers_adds_up(void)
{
    connect();
    clocked.reward = INT32_MIN;
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, 0, 0));
    run_on();
    CHECK(device.episode.total == (int64_t)INT32_MIN * (int64_t)STEPS);
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK(((uint64_t)result32(44) << 32 | result32(40)) == (uint64_t)device.episode.total);
}

static void test_a_plant_ends_an_episode(void)
{
    const struct {
        uint8_t verdict, end, mode;
    } cases[] = {
        {EC_PLANT_ENDED, EC_END_DONE, EC_MODE_IDLE},
        {EC_PLANT_FAILED, EC_END_FAULT, EC_MODE_SAFE},
        {77, EC_END_FAULT, EC_MODE_SAFE},
    };
    for (unsigned i = 0; i < 3; i++) {
        connect();
        clocked.ends = STEPS; /* with the last step: the plant's word counts */
        clocked.verdict = cases[i].verdict;
        CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, 0, 0));
        unsigned made_safe = plant.made_safe;
        run_on();
        CHECK_EQUAL(made_safe + 1, plant.made_safe);
        CHECK_EQUAL(0, outputs[0]);
        CHECK_EQUAL(EC_OK, ask_result());
        CHECK_EQUAL(cases[i].mode, reply[1]);
        CHECK_EQUAL(cases[i].end, reply[2]);
        CHECK_EQUAL(STEPS, result32(4));
        CHECK_EQUAL(0, device.silences);
    }
}

static void test_steps_are_due_by_the_clock(void)
{
    connect();
    tick_cost = 0;
    CHECK_EQUAL(EC_OK, ask_episode(0, 4, PERIOD, 0));
    CHECK_EQUAL(PERIOD, ec_device_clock(&device)); /* the first at once */
    CHECK_EQUAL(1, clocked.judged);
    clock_ticks += PERIOD - 1;
    CHECK_EQUAL(1, ec_device_clock(&device));
    CHECK_EQUAL(1, clocked.judged);
    clock_ticks += 31; /* 30 late: the schedule stays */
    CHECK_EQUAL(PERIOD - 30, ec_device_clock(&device));
    CHECK_EQUAL(2, clocked.judged);
    clock_ticks += PERIOD - 25;
    CHECK_EQUAL(PERIOD - 5, ec_device_clock(&device));
    clock_ticks += PERIOD;
    CHECK_EQUAL(EC_NEVER, ec_device_clock(&device));
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK_EQUAL(0, result32(12));
    CHECK_EQUAL(0, result32(24));
    CHECK_EQUAL(30, result32(28));
    CHECK_EQUAL(40, result32(32));
    CHECK_EQUAL(0, result32(36));
}

static void test_a_step_that_takes_too_long_is_a_miss_and_steps_never_come_in_bursts(void)
{
    connect();
    tick_cost = 0;
    CHECK_EQUAL(EC_OK, ask_episode(0, 9, PERIOD, 0));
    CHECK_EQUAL(PERIOD, ec_device_clock(&device));
    clock_ticks += 2 * PERIOD; /* at the end of its period: on time still */
    CHECK_EQUAL(0, ec_device_clock(&device));
    CHECK_EQUAL(0, device.episode.misses);
    clock_ticks += PERIOD + 1;
    CHECK_EQUAL(0, ec_device_clock(&device)); /* two periods late: a miss */
    CHECK_EQUAL(1, device.episode.misses);
    CHECK_EQUAL(PERIOD, ec_device_clock(&device)); /* one at once, then by the clock again */
    CHECK_EQUAL(4, clocked.judged);
    CHECK_EQUAL(PERIOD, ec_device_clock(&device));
    CHECK_EQUAL(4, clocked.judged);
}

static void test_requests_are_answered_between_steps(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, 0));
    for (unsigned t = 1; t <= 5; t++) {
        (void)ec_device_clock(&device);
        CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
        CHECK_EQUAL(EC_MODE_CLOCKED, reply[1]);
        CHECK_EQUAL(outputs[0], ec_signed16(ec_get16(reply + 48)));
        CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
        CHECK_EQUAL(EC_MODE_CLOCKED, detail());
        CHECK_EQUAL(EC_OK, ask_result());
        CHECK_EQUAL(EC_END_RUNS, reply[2]);
        CHECK_EQUAL(t, result32(4));
        clock_ticks += PERIOD;
    }
}

static void test_stop_reset_upload_and_another_episode_end_an_episode(void)
{
    for (unsigned way = 0; way < 4; way++) {
        connect();
        CHECK_EQUAL(EC_OK, ask_episode(1, STEPS, PERIOD, 0));
        (void)ec_device_clock(&device);
        unsigned made_safe = plant.made_safe;
        switch (way) {
        case 0: CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0)); break;
        case 1: CHECK_EQUAL(EC_OK, ask_reset(0)); break;
        case 2: CHECK_EQUAL(EC_OK, ask_begin(other.size)); break;
        default:
            clocked.refusal = 9;
            CHECK_EQUAL(EC_REFUSED_PLANT, ask_episode(2, STEPS, PERIOD, 0));
            CHECK_EQUAL(9, detail());
        }
        CHECK(plant.made_safe > made_safe);
        CHECK_EQUAL(way == 1 ? EC_MODE_RUN : EC_MODE_IDLE, device.mode);
        CHECK_EQUAL(EC_NEVER, ec_device_clock(&device));
        CHECK_EQUAL(EC_OK, ask_result());
        CHECK_EQUAL(EC_END_STOPPED, reply[2]);
        CHECK_EQUAL(1, result32(4));
    }
}

static void test_a_repeated_episode_request_begins_none_anew(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, 0));
    (void)ec_device_clock(&device);
    sequence--;
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, 0));
    CHECK_EQUAL(1, clocked.begun);
    CHECK_EQUAL(1, device.episode.steps);
}

static void test_an_episode_can_do_without_a_host(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_episode(0, 2, PERIOD, 0));
    (void)ec_device_clock(&device);
    for (uint32_t ms = 0; ms < 10000000; ms += EC_SILENCE_MS_MOST)
        ec_device_poll(&device, ms);
    CHECK_EQUAL(EC_MODE_CLOCKED, device.mode);
}

static void test_silence_ends_an_episode_where_the_host_wants_it(void)
{
    connect();
    ec_device_poll(&device, 10);
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, SILENCE_MS));
    uint32_t ms = 10;
    for (unsigned i = 0; i < 10; i++) { /* who asks for the result is there */
        ec_device_poll(&device, ms);
        CHECK_EQUAL(EC_OK, ask_result());
        ec_device_poll(&device, ms);
        ms += SILENCE_MS;
    }
    (void)ec_device_clock(&device);
    CHECK(outputs[0] != 0 || outputs[1] != 0);
    ms -= SILENCE_MS;
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0)); /* who asks for anything else is not */
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    ec_device_poll(&device, ms + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_CLOCKED, device.mode);
    ec_device_poll(&device, ms + SILENCE_MS + 1);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    CHECK(outputs[0] == 0 && outputs[1] == 0);
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK_EQUAL(EC_END_SILENCE, reply[2]);
    CHECK_EQUAL(1, device.silences);
}

static void test_asking_for_a_result_leads_no_other_episode(void)
{
    begin_episode();
    ec_device_poll(&device, 10);
    for (uint32_t ms = 11; ms <= 11 + SILENCE_MS; ms += 10) {
        CHECK_EQUAL(EC_OK, ask_result());
        ec_device_poll(&device, ms);
    }
    ec_device_poll(&device, 11 + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
}

static void test_an_impossible_episode_is_refused_and_ends_none(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_result());
    CHECK_EQUAL(EC_END_NONE, reply[2]);
    CHECK_EQUAL(0, result32(24));
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, 0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_episode(0, 0, PERIOD, 0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_episode(0, 1, EC_PERIOD_MOST + 1, 0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_episode(0, 1, 0, EC_SILENCE_MS_LEAST - 1));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_episode(0, 1, 0, EC_SILENCE_MS_MOST + 1));
    CHECK_EQUAL(EC_MODE_CLOCKED, device.mode);
    CHECK_EQUAL(1, clocked.begun);
    CHECK_EQUAL(EC_OK, ask_episode(0, UINT32_MAX, EC_PERIOD_MOST, EC_SILENCE_MS_MOST));
}

static void test_a_device_without_a_plant_says_so(void)
{
    configure();
    config.rig.plant = NULL;
    config.rig.judge = NULL;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_PLANT, ask_result());
    CHECK_EQUAL(0, detail());
    CHECK_EQUAL(EC_REFUSED_PLANT, ask_episode(0, STEPS, 0, 0));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
}

static void test_no_episode_without_a_policy_or_with_a_wrong_one(void)
{
    image wrong = without_proof(&builtin);
    configure();
    config.builtin_size = 0;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_episode(0, 1, 0, 0));
    configure();
    config.builtin = wrong.words;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_MODE, ask_episode(0, 1, 0, 0));
    CHECK_EQUAL(EC_MODE_FAULT, detail());
    CHECK_EQUAL(0, clocked.begun);
}

static void test_limits_hold_in_an_episode(void)
{
    uint8_t payload[4 + 2 * EC_LIMIT_SIZE] = {0};
    const ec_limit narrow = {-5, 5, 2};
    connect();
    ec_limit_put(&narrow, payload + 4);
    ec_limit_put(&narrow, payload + 4 + EC_LIMIT_SIZE);
    CHECK_EQUAL(EC_OK, ask(EC_LIMITS, payload, sizeof payload));
    CHECK_EQUAL(EC_OK, ask_episode(0, STEPS, PERIOD, 0));
    int16_t before = 0;
    unsigned moved = 0;
    while (device.mode == EC_MODE_CLOCKED) {
        clock_ticks += ec_device_clock(&device);
        if (device.mode != EC_MODE_CLOCKED)
            break;
        CHECK(-5 <= outputs[0] && outputs[0] <= 5);
        CHECK(outputs[0] - before <= 2 && before - outputs[0] <= 2);
        moved += outputs[0] != before;
        before = outputs[0];
    }
    CHECK(moved > 0 && device.episode.clamps > 0);
    uint32_t clamps = device.episode.clamps;
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(clamps, device.episode.clamps); /* another's are not its own */
}
