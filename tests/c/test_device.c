/* Modes, safety and configs: docs/LINK.md section 3.
 */
#include "harness.h"

/* ---- modes and safety ---- */

static void test_a_step_outside_an_episode_is_refused(void)
{
    connect();
    CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
    CHECK_EQUAL(EC_MODE_IDLE, detail());
    CHECK_EQUAL(0, plant.applied);
}

static void test_silence_leads_to_safe(void)
{
    begin_episode();
    ec_device_poll(&device, 10);
    unsigned made_safe = plant.made_safe;
    CHECK(outputs[0] != 0 || outputs[1] != 0);
    ec_device_poll(&device, 10 + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_RUN, device.mode);
    ec_device_poll(&device, 11 + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    CHECK_EQUAL(made_safe + 1, plant.made_safe);
    CHECK_EQUAL(0, outputs[0]);
    CHECK_EQUAL(1, device.silences);
    CHECK_EQUAL(EC_REFUSED_MODE, ask_step(5));
    CHECK_EQUAL(EC_MODE_SAFE, detail());
    CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
    CHECK_EQUAL(EC_MODE_RUN, reply[1]);
    CHECK_EQUAL(EC_OK, ask_step(5));
}

static void test_stop_leaves_safe_for_idle(void)
{
    begin_episode();
    ec_device_poll(&device, 0);
    ec_device_poll(&device, 1 + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
}

static void test_noise_and_strangers_do_not_keep_the_device_alive(void)
{
    begin_episode();
    ec_device_poll(&device, 10);
    for (uint32_t ms = 11; ms <= 11 + SILENCE_MS; ms++) {
        CHECK_EQUAL(0, send((const uint8_t *)"noise", 6));
        CHECK_EQUAL(1, send_frame(frame_of(EC_STATUS, SESSION + 1, 1, NULL, 0)));
        ec_device_poll(&device, ms);
    }
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
}

static void test_steps_and_their_repeats_keep_the_device_running(void)
{
    begin_episode();
    uint32_t ms = UINT32_MAX - 3 * SILENCE_MS; /* over the clock's wrap */
    ec_device_poll(&device, ms);
    for (unsigned i = 0; i < 20; i++) {
        ec_device_poll(&device, ms += SILENCE_MS - 1);
        if (i % 2)
            sequence--;
        CHECK_EQUAL(EC_OK, ask_step(i));
        ec_device_poll(&device, ms);
        CHECK_EQUAL(EC_MODE_RUN, device.mode);
    }
    CHECK_EQUAL(10, device.repeats);
    ec_device_poll(&device, ms + SILENCE_MS + 1);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
}

static void test_a_reset_and_its_repeat_keep_the_device_running(void)
{
    begin_episode();
    ec_device_poll(&device, 0);
    for (uint32_t ms = 400; ms < 4000; ms += 400) {
        ec_device_poll(&device, ms);
        if (ms % 800 == 0)
            sequence--;
        CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
        ec_device_poll(&device, ms);
        CHECK_EQUAL(EC_MODE_RUN, device.mode);
    }
    CHECK_EQUAL(4, device.repeats);
}

/* What anyone may ask without leading the plant. */
static void ask_without_leading(unsigned way)
{
    const uint8_t flags[8] = {2};
    uint8_t zeros[MAX_PAYLOAD] = {0};
    switch (way) {
    case 0: CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0)); break;
    case 1: CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello)); break;
    case 2: CHECK_EQUAL(EC_OK, ask(EC_PEEK, zeros, 4)); break;
    case 3: CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_STEP, zeros, 3)); break;
    case 4: CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask(EC_RESET, flags, 8)); break;
    case 5: CHECK_EQUAL(EC_REFUSED_TYPE, ask(0x7F, NULL, 0)); break;
    case 6: CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_begin(RAM_SIZE + 1)); break;
    case 7: CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(0, zeros, 0)); break;
    case 8: CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_UPLOAD_COMMIT, NULL, 0)); break;
    default: CHECK_EQUAL(1, send_frame(frame_of(EC_STEP, SESSION + 1, 1, zeros, 10))); break;
    }
}

static void test_nothing_but_reset_and_step_keeps_the_device_running(void)
{
    for (unsigned way = 0; way < 10; way++) {
        begin_episode();
        ec_device_poll(&device, 10);
        for (uint32_t ms = 11; ms <= 10 + SILENCE_MS; ms += 7) {
            ask_without_leading(way);
            if (way < 9 && ms % 2)
                sequence--; /* the next one is a repeat */
            ec_device_poll(&device, ms);
            CHECK_EQUAL(EC_MODE_RUN, device.mode);
        }
        ask_without_leading(way);
        ec_device_poll(&device, 11 + SILENCE_MS);
        CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    }
}

static void test_a_new_session_alone_does_not_keep_the_device_running(void)
{
    begin_episode();
    ec_device_poll(&device, 10);
    for (uint16_t i = 1; i <= 10; i++) {
        CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, i, i, hello, sizeof hello)));
        ec_device_poll(&device, 10u + i * (SILENCE_MS + 1u) / 10u);
    }
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
}

static void test_an_upload_is_no_silence(void)
{
    begin_episode();
    ec_device_poll(&device, 10);
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    ec_device_poll(&device, 100000);
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    ec_device_poll(&device, 200000);
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
    CHECK_EQUAL(0, device.silences);
}

static void test_the_safe_action_is_repeated_outside_an_episode(void)
{
    connect();
    plant.rest = 5;
    for (uint32_t ms = 1; ms < 4; ms++) {
        unsigned made_safe = plant.made_safe;
        ec_device_poll(&device, ms);
        CHECK_EQUAL(made_safe + 1, plant.made_safe);
        CHECK_EQUAL(5, outputs[0]);
    }
    CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
    unsigned running = plant.made_safe;
    ec_device_poll(&device, 4);
    CHECK_EQUAL(running, plant.made_safe);
    ec_device_poll(&device, 5 + SILENCE_MS);
    CHECK_EQUAL(EC_MODE_SAFE, device.mode);
    ec_device_poll(&device, 6 + SILENCE_MS);
    CHECK_EQUAL(running + 2, plant.made_safe);
}

static void test_silence_outside_an_episode_is_no_matter(void)
{
    connect();
    ec_device_poll(&device, 10);
    ec_device_poll(&device, 1000000);
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
    CHECK_EQUAL(0, device.silences);
}

static void test_the_plant_is_safe_before_and_between_episodes(void)
{
    begin_episode();
    CHECK(plant.made_safe >= 2); /* power on, RESET */
    CHECK_EQUAL(5, plant.applied);
    CHECK_EQUAL(device.policy->spec.n_act, plant.n);
    unsigned made_safe = plant.made_safe;
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(made_safe + 1, plant.made_safe);
    CHECK_EQUAL(0, outputs[0]);
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(made_safe + 2, plant.made_safe);
}

static void test_status_tells_what_the_hook_applied(void)
{
    begin_episode();
    plant.limit = 3;
    plant.rest = -77;
    CHECK_EQUAL(EC_OK, ask_step(5));
    int16_t wanted = (int16_t)ec_signed16(ec_get16(reply + 12));
    CHECK(wanted > 3 || wanted < -3);
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(wanted > 0 ? 3 : -3, ec_signed16(ec_get16(reply + 48)));
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(-77, ec_signed16(ec_get16(reply + 48)));
}

static void check_fault(void)
{
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_MODE_FAULT, reply[1]);
    CHECK_EQUAL(EC_SOURCE_NONE, reply[17]);
    CHECK_EQUAL(EC_REFUSED_MODE, ask_reset(0));
    CHECK_EQUAL(EC_MODE_FAULT, detail());
    CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(EC_MODE_FAULT, reply[1]);
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask(EC_PEEK, "\0\0\0\0", 4));
}

static void test_a_damaged_built_in_policy_is_a_fault(void)
{
    image damaged = builtin;
    damaged.words[20] ^= 0x100;
    configure();
    config.builtin = damaged.words;
    check_fault();
}

static void test_a_built_in_policy_that_computes_otherwise_is_a_fault(void)
{
    image wrong = without_proof(&builtin);
    configure();
    config.builtin = wrong.words;
    check_fault();
}

static void test_a_built_in_policy_without_a_proof_is_a_fault(void)
{
    image unproven = with_steps(&builtin, 0);
    configure();
    config.builtin = unproven.words;
    check_fault();
}

static void test_a_built_in_policy_with_a_long_proof_is_a_fault(void)
{
    image slow = with_steps(&builtin, 65);
    configure();
    config.builtin = slow.words;
    check_fault();
}

static void test_an_upload_leads_out_of_a_fault_and_its_end_back(void)
{
    image wrong = without_proof(&builtin);
    configure();
    config.builtin = wrong.words;
    check_fault();
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_MODE_FAULT, reply[1]);
}

static void test_a_device_without_policy_waits_for_one(void)
{
    configure();
    config.builtin = NULL;
    config.builtin_size = 0;
    power_on();
    CHECK_EQUAL(EC_SOURCE_NONE, source());
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_reset(0));
    CHECK_EQUAL(0, detail());
    CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(48, reply_length);
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
}

/* ---- hostility that keeps to the frame ---- */

static void test_good_frames_of_any_content_leave_the_device_sane(void)
{
    uint8_t payload[MAX_PAYLOAD];
    connect();
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t length = noise() % (MAX_PAYLOAD + 1);
        uint8_t type = (uint8_t)(EC_RESET + noise() % 12);
        if (noise() % 2) /* lengths and fields that pass more often */
            length = type == EC_RESET ? 8 : type == EC_STEP ? 2u * device.policy->spec.n_obs : noise() % 9;
        for (uint32_t b = 0; b < length; b++)
            payload[b] = (uint8_t)(noise() % 3 ? 0 : noise());
        (void)ask(type, payload, length);
        CHECK(device.mode <= EC_MODE_HOSTED && device.mode != EC_MODE_FAULT);
        ec_device_poll(&device, i * (noise() % 8));
        (void)ec_device_clock(&device);
    }
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
}

static void test_an_impossible_config_is_refused(void)
{
    configure();
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(NULL, &config));
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, NULL));
    config.max_payload = EC_MIN_PAYLOAD - 1;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.max_obs = MAX_PAYLOAD / 2 + 1;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.net_memory_size--;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.builtin = (const uint8_t *)builtin.words + 2;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.ticks = NULL;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.rig.safe = NULL;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.rig.judge = NULL; /* a plant with half of its hooks */
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    configure();
    config.limits = NULL;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
}

static void test_a_limit_beyond_the_definition_s_is_refused(void)
{
    const struct {
        uint16_t *limit;
        uint16_t most;
    } cases[] = {{&config.max_obs, 1024}, {&config.max_act, 64}, {&config.max_neurons, 1024}};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned excess = 0; excess < 2; excess++) {
            configure();
            config.builtin_size = 0;
            config.max_payload = 2050;
            config.net_memory_size = UINT32_MAX; /* no policy will be laid out there */
            *cases[i].limit = (uint16_t)(cases[i].most + excess);
            CHECK_EQUAL(excess ? EC_ERR_ARGUMENT : 0, ec_device_init(&device, &config));
        }
    }
}

static void test_an_impossible_config_leaves_the_plant_safe(void)
{
    configure();
    config.reply = NULL;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
    CHECK_EQUAL(1, plant.made_safe);
}
