/* Sessions, repeats and messages: docs/LINK.md sections 1, 2 and 4.
 */
#include "harness.h"

/* ---- sessions and repeats ---- */

static void test_hello_tells_who_the_device_is(void)
{
    connect();
    CHECK_EQUAL(80, reply_length);
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(1, ec_get16(reply + 2));
    CHECK_EQUAL(1, ec_get16(reply + 4));
    CHECK_EQUAL(MAX_PAYLOAD, ec_get16(reply + 6));
    CHECK_EQUAL(0x00010203, ec_get32(reply + 8));
    CHECK_EQUAL(41, ec_get32(reply + 12));
    CHECK_EQUAL(4, reply[16]);
    CHECK_EQUAL(1, reply[17]);
    CHECK_EQUAL(device.builtin.spec.n_obs, ec_get16(reply + 18));
    CHECK_EQUAL(device.builtin.spec.n_act, ec_get16(reply + 20));
    CHECK_EQUAL(device.builtin.spec.n_neurons, ec_get16(reply + 22));
    CHECK(memcmp((const uint8_t *)builtin.words + 36, reply + 24, 8) == 0);
    CHECK_EQUAL(1000000, ec_get32(reply + 32));
    CHECK_EQUAL(RAM_SIZE, ec_get32(reply + 36));
    CHECK_EQUAL(MAX_OBS, ec_get16(reply + 40));
    CHECK_EQUAL(MAX_ACT, ec_get16(reply + 42));
    CHECK_EQUAL(MAX_NEURONS, ec_get16(reply + 44));
    CHECK_EQUAL(0, ec_get16(reply + 46));
    CHECK(memcmp(reply + 48, "test\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0);
    CHECK(memcmp(reply + 64, "sixteen bytes id", 16) == 0);
}

static void test_a_long_board_name_is_cut(void)
{
    char name[200];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    configure();
    config.board = name;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK(memcmp(reply + 48, "nnnnnnnnnnnnnnnnsixteen bytes id", 32) == 0);
}

static void test_hello_of_another_link_version_is_answered(void)
{
    const uint8_t newer[6] = {0x45, 0x43, 0x47, 0x45, 9, 9};
    configure();
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, newer, sizeof newer));
    CHECK_EQUAL(EC_LINK_VERSION, ec_get16(reply + 2));
}

static void test_a_bad_hello_leaves_the_session(void)
{
    static const uint8_t wrong[6] = "wrong";
    begin_episode();
    snapshot before = look();
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, 77, 1, wrong, sizeof wrong)));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, reply[0]);
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, 0, 1, hello, sizeof hello)));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, reply[0]);
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, 77, 1, hello, 5)));
    CHECK_EQUAL(EC_REFUSED_LENGTH, reply[0]);
    CHECK_EQUAL(6, detail());
    check_unchanged(before);
}

static void test_nothing_is_carried_out_before_a_hello(void)
{
    configure();
    power_on();
    for (unsigned session = 0; session <= SESSION; session += SESSION) {
        CHECK_EQUAL(1, send_frame(frame_of(EC_STATUS, (uint16_t)session, 0, NULL, 0)));
        CHECK_EQUAL(EC_REFUSED_SESSION, reply[0]);
        CHECK_EQUAL(0, detail());
    }
}

static void test_another_session_changes_nothing(void)
{
    begin_episode();
    frame last = reply_frame;
    snapshot before = look();
    for (unsigned i = 1; i < N_REQUESTS; i++) {
        frame f = frame_of((uint8_t)(EC_HELLO + i), SESSION + 1, sequence, NULL, 0);
        CHECK_EQUAL(1, send_frame(f));
        CHECK_EQUAL(SESSION + 1, ec_get16(reply_packet + 2));
        CHECK_EQUAL(EC_REFUSED_SESSION, reply[0]);
        CHECK_EQUAL(SESSION, detail());
    }
    check_unchanged(before);
    /* The kept reply is still there. */
    sequence--;
    CHECK_EQUAL(EC_OK, ask_step(4));
    CHECK(reply_frame.size == last.size && memcmp(reply_frame.bytes, last.bytes, last.size) == 0);
    check_unchanged(before);
}

static void test_a_new_session_ends_the_old_one(void)
{
    begin_episode();
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, 77, 1, hello, sizeof hello)));
    CHECK_EQUAL(EC_OK, reply[0]);
    CHECK_EQUAL(EC_MODE_RUN, reply[1]);
    CHECK_EQUAL(EC_REFUSED_SESSION, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(77, detail());
}

static void test_a_repeated_request_is_carried_out_once(void)
{
    begin_episode();
    CHECK_EQUAL(EC_OK, ask_step(5));
    frame first = reply_frame;
    snapshot before = look();
    for (unsigned i = 0; i < 3; i++) {
        sequence--;
        CHECK_EQUAL(EC_OK, ask_step(5));
        CHECK(reply_frame.size == first.size);
        CHECK(memcmp(reply_frame.bytes, first.bytes, first.size) == 0);
    }
    check_unchanged(before);
    CHECK_EQUAL(3, device.repeats);
}

static void test_a_repeated_refusal_is_the_same_refusal(void)
{
    connect();
    CHECK_EQUAL(EC_REFUSED_MODE, ask_step(0));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    sequence = (uint16_t)(sequence - 3);
    CHECK_EQUAL(EC_OK, ask_step(1)); /* an older number is a new request */
    CHECK_EQUAL(2, device.statistics.steps);
}

static void test_a_repeated_upload_does_not_advance(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    sequence--;
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    CHECK_EQUAL(40, ec_get32(reply + 4));
    CHECK_EQUAL(40, device.upload.received);
}

/* ---- messages ---- */

static void test_an_unknown_type_is_refused(void)
{
    connect();
    for (unsigned type = EC_ACT + 1; type < 0x80; type++) {
        if ((EC_UPLOAD_OPEN <= type && type <= EC_SPEED) || (EC_EVOLVE <= type && type <= EC_SNAPSHOT) ||
            type == EC_TRACKS || type == EC_TRACKS_STEP)
            continue;
        CHECK_EQUAL(EC_REFUSED_TYPE, ask((uint8_t)type, NULL, 0));
        CHECK_EQUAL(type, detail());
    }
}

static void test_the_line_has_another_speed_while_there_is_talk(void)
{
    uint32_t now = UINT32_MAX - 3 * EC_SPEED_HOLD_MS; /* the clock wraps on the way */
    connect();
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    ec_device_poll(&device, now);
    CHECK_EQUAL(EC_OK, ask_speed(1000000));
    CHECK_EQUAL(2, reply_length);
    CHECK_EQUAL(1000000, device.baud);
    for (unsigned i = 0; i < 6; i++) {
        ec_device_poll(&device, now += EC_SPEED_HOLD_MS);
        CHECK_EQUAL(1000000, device.baud);
        CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
        ec_device_poll(&device, now);
    }
    CHECK_EQUAL(0, send((const uint8_t *)"\x05noise", 7));
    ec_device_poll(&device, now += EC_SPEED_HOLD_MS + 1);
    CHECK_EQUAL(0, device.baud);
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
}

static void test_a_speed_asked_for_again_is_given_again(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_speed(9600)); /* and the reply is lost */
    frame again = frame_of(EC_SPEED, SESSION, sequence, "\x80\x25\0\0", 4);
    ec_device_poll(&device, 1);
    ec_device_poll(&device, 2 + EC_SPEED_HOLD_MS);
    CHECK_EQUAL(0, device.baud);
    CHECK_EQUAL(1, send_frame(again));
    CHECK_EQUAL(EC_OK, reply[0]);
    CHECK_EQUAL(9600, device.baud);
}

static void test_a_speed_that_the_line_cannot_have_is_refused(void)
{
    begin_episode();
    CHECK_EQUAL(EC_OK, ask_speed(9600));
    snapshot before = look();
    const uint32_t wrong[] = {0, 9601, 115200, UINT32_MAX};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_speed(wrong[i]));
    before.number = sequence;
    check_unchanged(before);
    configure();
    config.can_baud = NULL;
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_speed(9600));
}

static void test_every_wrong_length_is_refused(void)
{
    static const uint8_t zeros[MAX_PAYLOAD];
    begin_episode();
    const struct {
        uint8_t type;
        uint32_t right;
    } rules[] = {
        {EC_RESET, 8}, {EC_STEP, 2u * device.policy->spec.n_obs}, {EC_UPLOAD_BEGIN, 4},
        {EC_UPLOAD_COMMIT, 0}, {EC_STATUS, 0}, {EC_STOP, 0}, {EC_PEEK, 4}, {EC_EPISODE, 16}, {EC_RESULT, 0},
        {EC_UPLOAD_OPEN, 12}, {EC_SPEED, 4},
    };
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        for (uint32_t length = 0; length <= MAX_PAYLOAD; length++) {
            if (length == rules[i].right)
                continue;
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(rules[i].type, zeros, length));
            CHECK_EQUAL(rules[i].right, detail());
        }
    }
    for (uint32_t length = 0; length < 4; length++)
        CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_UPLOAD_DATA, zeros, length));
    CHECK_EQUAL(EC_MODE_RUN, device.mode);
}

static void test_steps_are_the_network_s(void)
{
    static uint32_t memory[sizeof net_memory / 4];
    int16_t counts[MAX_OBS];
    ec_net net;
    connect();
    CHECK_EQUAL(0, ec_net_init(&net, &device.builtin, memory, sizeof memory));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    uint32_t digest = 0;
    unsigned n_act = net.policy->spec.n_act;
    for (unsigned t = 0; t < 50; t++) {
        observe(counts, net.policy->spec.n_obs, t);
        ec_net_step(&net, counts);
        digest = ec_net_digest(&net, digest);
        CHECK_EQUAL(EC_OK, ask_step(t));
        CHECK_EQUAL(12 + 2 * n_act, reply_length);
        CHECK_EQUAL(EC_MODE_RUN, reply[1]);
        CHECK_EQUAL(net.spike_count, ec_get16(reply + 2));
        CHECK_EQUAL(7, ec_get32(reply + 4));
        CHECK_EQUAL(digest, ec_get32(reply + 8));
        for (unsigned a = 0; a < n_act; a++)
            CHECK_EQUAL(net.output[a], ec_signed16(ec_get16(reply + 12 + 2 * a)));
    }
    CHECK(net.spike_count > 0);
}

static void test_reset_begins_again(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_reset(0));
    for (unsigned t = 0; t < 20; t++)
        CHECK_EQUAL(EC_OK, ask_step(t));
    uint32_t digest = ec_get32(reply + 8);
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_MODE_RUN, reply[1]);
    for (unsigned t = 0; t < 20; t++)
        CHECK_EQUAL(EC_OK, ask_step(t));
    CHECK_EQUAL(digest, ec_get32(reply + 8));
    CHECK_EQUAL(40, device.statistics.steps);
}

static void test_the_digest_is_off_unless_asked_for(void)
{
    static const uint8_t plain[8];
    connect();
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK(ec_get32(reply + 8) != 0);
    CHECK_EQUAL(EC_OK, ask(EC_RESET, plain, sizeof plain));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(0, ec_get32(reply + 8));
}

static void test_reset_refuses_what_is_not_allowed(void)
{
    const uint8_t refused[][8] = {
        {2}, {1, 1}, {1, 0, 1}, {1, 0, 0, 1},
        {1, 0, 0, 0, 9}, {1, 0, 0, 0, 0x61, 0xEA}, {1, 0, 0, 0, 0, 0, 0, 0x80},
    };
    begin_episode();
    snapshot before = look();
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++)
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask(EC_RESET, refused[i], 8));
    before.number = sequence;
    check_unchanged(before);
    CHECK_EQUAL(EC_OK, ask_reset(10));
    CHECK_EQUAL(EC_OK, ask_reset(60000));
}

static void test_status_counts(void)
{
    begin_episode();
    sequence--;
    CHECK_EQUAL(EC_OK, ask_step(4));
    ec_device_receive(&device, 1);
    ec_device_receive(&device, 0);
    ec_device_poll(&device, 400);
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
    CHECK_EQUAL(48 + 2 * device.policy->spec.n_act, reply_length);
    CHECK_EQUAL(EC_MODE_RUN, reply[1]);
    CHECK_EQUAL(device.policy->spec.n_act, ec_get16(reply + 2));
    CHECK_EQUAL(400, ec_get32(reply + 4));
    CHECK_EQUAL(9, ec_get32(reply + 8)); /* HELLO, RESET, 5 steps, a repeat, STATUS */
    CHECK_EQUAL(1, ec_get32(reply + 12));
    CHECK_EQUAL(1, ec_get32(reply + 16));
    CHECK_EQUAL(0, ec_get32(reply + 20));
    CHECK_EQUAL(5, ec_get32(reply + 24));
    CHECK_EQUAL(7, ec_get32(reply + 28));
    CHECK_EQUAL(7, ec_get32(reply + 32));
    CHECK_EQUAL(0, ec_get32(reply + 36));
    CHECK_EQUAL(35, ec_get32(reply + 40));
    CHECK_EQUAL(0, ec_get32(reply + 44));
    CHECK_EQUAL(outputs[0], ec_signed16(ec_get16(reply + 48)));
}

static void test_peek_shows_the_state_in_pieces(void)
{
    uint8_t state[6 * MAX_NEURONS], request[4];
    connect();
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    uint32_t size = ec_net_state_size(&device.net);
    CHECK(size > MAX_PAYLOAD);
    CHECK_EQUAL(0, ec_net_state_read(&device.net, 0, state, size));
    for (uint32_t offset = 0; offset <= size; offset++) {
        for (uint32_t length = 0; length <= MAX_PAYLOAD; length++) {
            ec_put16(request, (uint16_t)offset);
            ec_put16(request + 2, (uint16_t)length);
            if (offset + length > size || length > MAX_PAYLOAD - 4) {
                CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask(EC_PEEK, request, 4));
                continue;
            }
            CHECK_EQUAL(EC_OK, ask(EC_PEEK, request, 4));
            CHECK_EQUAL(4 + length, reply_length);
            CHECK(memcmp(state + offset, reply + 4, length) == 0);
        }
    }
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask(EC_PEEK, "\xFF\xFF\xFF\xFF", 4));
}
