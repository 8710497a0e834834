/* The frames and the device of firmware/core, in process: docs/LINK.md claim by claim.
 *
 *     test_device NAME BUILTIN OTHER
 *
 * runs the test of that name, with two policy images in files. tests/test_device_core.py makes them,
 * and finds the tests by their names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_crc.h"
#include "ec_device.h"

#define MAX_PAYLOAD 96
#define MAX_OBS     12
#define MAX_ACT     4
#define MAX_NEURONS 64
#define RAM_SIZE    2048
#define SESSION     0x1234
#define SILENCE_MS  500

#define CHECK(claim) check((claim), #claim, __LINE__)
#define CHECK_EQUAL(expected, actual) check_equal((expected), (actual), #actual, __LINE__)

static void check(bool good, const char *claim, int line)
{
    if (good)
        return;
    printf("line %d: not so: %s\n", line, claim);
    exit(1);
}

static void check_equal(int64_t expected, int64_t actual, const char *what, int line)
{
    if (expected == actual)
        return;
    printf("line %d: %s is %lld, not %lld\n", line, what, (long long)actual, (long long)expected);
    exit(1);
}

/* ---- a device, its plant, its clock ---- */

typedef struct {
    uint32_t words[RAM_SIZE / 4];
    uint32_t size;
} image;

static image builtin, other;

static uint32_t policy_ram[RAM_SIZE / 4];
static uint32_t net_memory[EC_NET_MEMORY(MAX_NEURONS, MAX_ACT) / 4];
static int16_t raw[MAX_OBS];
static int16_t outputs[MAX_ACT];
static uint8_t request_buffer[EC_REQUEST_SIZE(MAX_PAYLOAD)];
static uint8_t reply_buffer[EC_REPLY_SIZE(MAX_PAYLOAD, MAX_ACT)];
static ec_device_config config;
static ec_device device;

static struct {
    unsigned applied; /* calls */
    unsigned made_safe;
    unsigned n;
    int16_t limit; /* outputs are clamped to this */
    int16_t rest;  /* the safe output */
} plant;

static void apply(void *context, int16_t *o, unsigned n)
{
    CHECK(context == &plant);
    plant.applied++;
    plant.n = n;
    for (unsigned a = 0; a < n; a++)
        o[a] = (int16_t)ec_clamp(o[a], -plant.limit, plant.limit);
}

static void make_safe(void *context, int16_t *o, unsigned n)
{
    CHECK(context == &plant);
    plant.made_safe++;
    for (unsigned a = 0; a < n; a++) {
        CHECK_EQUAL(0, o[a]);
        o[a] = plant.rest;
    }
}

static uint32_t clock_ticks;

static uint32_t ticks(void)
{
    return clock_ticks += 7; /* so every step takes 7 */
}

static void configure(void)
{
    static const uint8_t chip_id[EC_CHIP_ID_SIZE] = "sixteen bytes id";
    clock_ticks = UINT32_MAX - 10; /* wraps soon */
    memset(&plant, 0, sizeof plant);
    plant.limit = INT16_MAX;
    config = (ec_device_config){
        .board = "test",
        .chip_id = chip_id,
        .firmware_version = 0x00010203,
        .boot_count = 41,
        .reset_cause = EC_CAUSE_WATCHDOG,
        .builtin = builtin.words,
        .builtin_size = builtin.size,
        .max_payload = MAX_PAYLOAD,
        .max_obs = MAX_OBS,
        .max_act = MAX_ACT,
        .max_neurons = MAX_NEURONS,
        .policy_ram = policy_ram,
        .policy_ram_size = sizeof policy_ram,
        .net_memory = net_memory,
        .net_memory_size = sizeof net_memory,
        .raw = raw,
        .outputs = outputs,
        .request = request_buffer,
        .reply = reply_buffer,
        .ticks = ticks,
        .tick_hz = 1000000,
        .rig = {apply, make_safe, &plant},
    };
}

/* ---- a host ---- */

typedef struct {
    uint8_t bytes[EC_FRAME_SIZE(EC_PACKET_SIZE(MAX_PAYLOAD + 200))];
    uint32_t size;
} frame;

static frame reply_frame; /* the last one */
static uint8_t reply_packet[sizeof reply_buffer];
static const uint8_t *const reply = reply_packet + EC_PACKET_HEADER;
static uint32_t reply_length; /* of its payload */
static uint16_t sequence;

/* COBS as its paper tells it, whole frame at once: the ending zero included in `size`. */
static uint32_t uncobs(const uint8_t *line, uint32_t size, uint8_t *packet)
{
    uint32_t length = 0;
    CHECK(size > 0);
    CHECK_EQUAL(0, line[size - 1]);
    for (uint32_t at = 0; at < size - 1;) {
        uint32_t code = line[at];
        CHECK(code > 0 && at + code <= size - 1);
        for (uint32_t i = 1; i < code; i++) {
            CHECK(line[at + i] != 0);
            packet[length++] = line[at + i];
        }
        at += code;
        if (code < 255 && at < size - 1)
            packet[length++] = 0;
    }
    return length;
}

static frame frame_of(uint8_t type, uint16_t session, uint16_t number, const void *payload, uint32_t length)
{
    uint8_t packet[EC_PACKET_SIZE(MAX_PAYLOAD + 200)];
    frame f;
    CHECK(EC_PACKET_SIZE(length) <= sizeof packet);
    packet[0] = type;
    packet[1] = 0;
    ec_put16(packet + 2, session);
    ec_put16(packet + 4, number);
    if (length > 0)
        memcpy(packet + EC_PACKET_HEADER, payload, length);
    f.size = ec_frame_encode(f.bytes, packet, EC_PACKET_HEADER + length);
    return f;
}

/* Sends bytes, takes replies apart, returns how many there were. */
static unsigned send(const uint8_t *bytes, uint32_t size)
{
    unsigned replies = 0;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t n = ec_device_receive(&device, bytes[i]);
        if (n == 0)
            continue;
        replies++;
        CHECK(n <= sizeof reply_frame.bytes && n <= sizeof reply_buffer);
        memcpy(reply_frame.bytes, device.reply, n);
        reply_frame.size = n;
        uint32_t length = uncobs(reply_frame.bytes, n, reply_packet);
        CHECK(length >= EC_PACKET_SIZE(1));
        reply_length = length - EC_PACKET_SIZE(0);
        CHECK_EQUAL(ec_get32(reply_packet + length - 4), ec_crc32(0, reply_packet, length - 4));
        CHECK(reply_packet[0] & EC_PACKET_REPLY);
        CHECK_EQUAL(0, reply_packet[1]);
        if (reply[0] != EC_OK)
            CHECK_EQUAL(5, reply_length);
    }
    return replies;
}

static unsigned send_frame(frame f)
{
    return send(f.bytes, f.size);
}

/* One request of the session, the next in sequence; its reply's status. */
static uint8_t ask(uint8_t type, const void *payload, uint32_t length)
{
    sequence++;
    CHECK_EQUAL(1, send_frame(frame_of(type, SESSION, sequence, payload, length)));
    CHECK_EQUAL(type | EC_PACKET_REPLY, reply_packet[0]);
    CHECK_EQUAL(SESSION, ec_get16(reply_packet + 2));
    CHECK_EQUAL(sequence, ec_get16(reply_packet + 4));
    return reply[0];
}

static uint32_t detail(void)
{
    return ec_get32(reply + 1);
}

static const uint8_t hello[6] = {0x45, 0x43, 0x47, 0x45, 1, 0};

static uint8_t ask_reset(uint32_t silence_ms)
{
    uint8_t payload[8] = {1};
    ec_put32(payload + 4, silence_ms);
    return ask(EC_RESET, payload, sizeof payload);
}

/* Counts that differ from step to step. */
static void observe(int16_t *counts, unsigned n, unsigned t)
{
    for (unsigned i = 0; i < n; i++)
        counts[i] = (int16_t)((int)((t * 7919u + i * 104729u) % 4001u) - 2000);
}

static uint8_t ask_step(unsigned t)
{
    int16_t counts[MAX_OBS];
    uint8_t payload[2 * MAX_OBS];
    unsigned n = device.policy ? device.policy->spec.n_obs : 1u;
    observe(counts, n, t);
    for (unsigned i = 0; i < n; i++)
        ec_put16(payload + 2 * i, (uint16_t)counts[i]);
    return ask(EC_STEP, payload, 2 * n);
}

static uint8_t ask_begin(uint32_t size)
{
    uint8_t payload[4];
    ec_put32(payload, size);
    return ask(EC_UPLOAD_BEGIN, payload, sizeof payload);
}

static uint8_t ask_data(uint32_t offset, const void *bytes, uint32_t length)
{
    uint8_t payload[4 + MAX_PAYLOAD];
    ec_put32(payload, offset);
    memcpy(payload + 4, bytes, length);
    return ask(EC_UPLOAD_DATA, payload, 4 + length);
}

/* The whole image; the status of its UPLOAD_COMMIT. */
static uint8_t upload(const image *policy)
{
    const uint8_t *bytes = (const uint8_t *)policy->words;
    CHECK_EQUAL(EC_OK, ask_begin(policy->size));
    for (uint32_t offset = 0; offset < policy->size;) {
        uint32_t left = policy->size - offset;
        uint32_t length = left < MAX_PAYLOAD - 4 ? left : MAX_PAYLOAD - 4;
        CHECK_EQUAL(EC_OK, ask_data(offset, bytes + offset, length));
        offset += length;
        CHECK_EQUAL(offset, ec_get32(reply + 4));
    }
    return ask(EC_UPLOAD_COMMIT, NULL, 0);
}

static uint8_t source(void)
{
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    return reply[17];
}

static void power_on(void)
{
    CHECK_EQUAL(0, ec_device_init(&device, &config));
    ec_device_poll(&device, 0);
}

/* A device with a session, at rest. */
static void connect(void)
{
    configure();
    power_on();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
}

/* A device in the middle of an episode. */
static void begin_episode(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
    for (unsigned t = 0; t < 5; t++)
        CHECK_EQUAL(EC_OK, ask_step(t));
}

/* What hostile bytes must leave alone. */
typedef struct {
    uint32_t state, digest, steps, made_safe, applied;
    uint32_t upload_size, upload_received;
    uint16_t session, number;
    uint8_t mode;
    const ec_policy *policy;
} snapshot;

static snapshot look(void)
{
    snapshot s;
    memset(&s, 0, sizeof s);
    s.state = ec_net_digest(&device.net, 0);
    s.digest = device.digest;
    s.steps = device.statistics.steps;
    s.made_safe = plant.made_safe;
    s.applied = plant.applied;
    s.upload_size = device.upload_size;
    s.upload_received = device.upload_received;
    s.session = device.session;
    s.number = device.sequence;
    s.mode = device.mode;
    s.policy = device.policy;
    return s;
}

static void check_unchanged(snapshot before)
{
    snapshot now = look();
    CHECK(memcmp(&before, &now, sizeof now) == 0);
}

/* One good request of every type, numbered from 1000. */
#define N_REQUESTS 9

static frame good_request(unsigned i)
{
    static const uint8_t payload[MAX_PAYLOAD] = {0};
    uint16_t number = (uint16_t)(1000 + i);
    uint16_t step_length = (uint16_t)(2 * device.policy->spec.n_obs);
    const uint8_t lengths[N_REQUESTS] = {6, 8, (uint8_t)step_length, 4, 4, 0, 0, 0, 4};
    uint8_t type = (uint8_t)(EC_HELLO + i);
    return frame_of(type, SESSION, number, type == EC_HELLO ? hello : payload, lengths[i]);
}

static uint32_t seed = 2463534242u;

static uint32_t noise(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

/* ---- frames ---- */

static void test_packets_of_every_length_survive_the_line(void)
{
    static uint8_t buffer[EC_PACKET_SIZE(1100)];
    static uint8_t line[EC_FRAME_SIZE(EC_PACKET_SIZE(1100))], first[sizeof line];
    static uint8_t packet[EC_PACKET_SIZE(1100)], decoded[EC_PACKET_SIZE(1100)];
    ec_frame_receiver receiver;
    ec_frame_receiver_init(&receiver, buffer, sizeof buffer);
    for (uint32_t zeros = 0; zeros < 4; zeros++) {
        for (uint32_t length = 0; length <= 1100; length++) {
            uint32_t size = EC_PACKET_HEADER + length;
            for (uint32_t i = 0; i < size; i++)
                packet[i] = (uint8_t)(zeros == 0 || noise() % (4 * zeros) ? 1 + noise() % 127 : 0);
            packet[0] = EC_STATUS;
            packet[1] = 0;
            uint32_t n = ec_frame_encode(line, packet, size);
            CHECK(n <= EC_FRAME_SIZE(size + EC_PACKET_CRC));
            CHECK_EQUAL(size + EC_PACKET_CRC, uncobs(line, n, decoded));
            CHECK(memcmp(packet, decoded, size) == 0);

            uint32_t received = 0;
            for (uint32_t i = 0; i < n; i++) {
                CHECK_EQUAL(0, received);
                received = ec_frame_receive(&receiver, line[i]);
            }
            CHECK_EQUAL(size, received);
            CHECK(memcmp(packet, buffer, size) == 0);

            memcpy(first, line, n);
            uint8_t *inside = line + EC_FRAME_LEAD(size + EC_PACKET_CRC);
            memcpy(inside, packet, size);
            CHECK_EQUAL(n, ec_frame_encode(line, inside, size));
            CHECK(memcmp(first, line, n) == 0);
        }
    }
    CHECK_EQUAL(0, receiver.bad);
    CHECK_EQUAL(4 * 1101, receiver.good);
}

static void test_every_prefix_of_every_request_is_dropped(void)
{
    begin_episode();
    for (unsigned i = 0; i < N_REQUESTS; i++) {
        frame f = good_request(i);
        snapshot before = look();
        for (uint32_t size = 0; size < f.size - 1; size++) {
            CHECK_EQUAL(0, send(f.bytes, size));
            CHECK_EQUAL(0, send((const uint8_t *)"", 1));
        }
        check_unchanged(before);
    }
    CHECK_EQUAL(EC_OK, ask_step(5));
}

static void test_every_one_bit_flip_of_every_request_is_dropped(void)
{
    begin_episode();
    for (unsigned i = 0; i < N_REQUESTS; i++) {
        frame f = good_request(i);
        snapshot before = look();
        for (uint32_t bit = 0; bit < 8 * f.size; bit++) {
            f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK_EQUAL(0, send_frame(f));
            CHECK_EQUAL(0, send((const uint8_t *)"", 1));
            f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        check_unchanged(before);
    }
    CHECK_EQUAL(EC_OK, ask_step(5));
}

static void test_a_million_random_bytes_change_nothing(void)
{
    begin_episode();
    snapshot before = look();
    for (unsigned i = 0; i < 1000000; i++) {
        /* Zeros often enough that short frames come about. */
        uint32_t x = noise();
        uint8_t byte = (uint8_t)(x % 16 == 0 ? 0 : x >> 8);
        CHECK_EQUAL(0, send(&byte, 1));
    }
    check_unchanged(before);
    CHECK_EQUAL(0, send((const uint8_t *)"", 1));
    CHECK(device.receiver.bad > 10000);
    CHECK_EQUAL(EC_OK, ask_step(5));
}

static void test_two_frames_glued_get_two_replies(void)
{
    begin_episode();
    frame a = frame_of(EC_STATUS, SESSION, 900, NULL, 0);
    frame b = frame_of(EC_STOP, SESSION, 901, NULL, 0);
    memcpy(a.bytes + a.size, b.bytes, b.size);
    CHECK_EQUAL(2, send(a.bytes, a.size + b.size));
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
}

static void test_two_frames_without_their_zero_byte_are_dropped(void)
{
    begin_episode();
    snapshot before = look();
    frame a = frame_of(EC_STATUS, SESSION, 900, NULL, 0);
    frame b = frame_of(EC_STOP, SESSION, 901, NULL, 0);
    memcpy(a.bytes + a.size - 1, b.bytes, b.size);
    CHECK_EQUAL(0, send(a.bytes, a.size - 1 + b.size));
    check_unchanged(before);
}

static void test_the_largest_request_is_taken_and_a_larger_one_dropped(void)
{
    static const uint8_t zeros[MAX_PAYLOAD + 200];
    connect();
    uint32_t bad = device.receiver.bad;
    CHECK_EQUAL(EC_REFUSED_TYPE, ask(0x7F, zeros, MAX_PAYLOAD));
    for (uint32_t length = MAX_PAYLOAD + 1; length <= sizeof zeros; length++)
        CHECK_EQUAL(0, send_frame(frame_of(0x7F, SESSION, 900, zeros, length)));
    CHECK_EQUAL(bad + 200, device.receiver.bad);
    CHECK_EQUAL(EC_OK, ask(EC_STATUS, NULL, 0));
}

static void test_a_good_packet_with_a_byte_too_many_is_dropped(void)
{
    static const uint8_t zeros[MAX_PAYLOAD];
    begin_episode();
    snapshot before = look();
    for (uint32_t length = 0; length <= MAX_PAYLOAD; length++) {
        frame f = frame_of(EC_STOP, SESSION, 900, zeros, length);
        f.bytes[f.size - 1] = 1; /* one more zero in the packet */
        f.bytes[f.size++] = 0;
        CHECK_EQUAL(0, send_frame(f));
    }
    check_unchanged(before);
}

static void test_a_packet_whose_zero_byte_is_not_is_dropped(void)
{
    uint8_t packet[EC_PACKET_SIZE(0)] = {EC_STOP, 1};
    frame f;
    begin_episode();
    snapshot before = look();
    ec_put16(packet + 2, SESSION);
    ec_put16(packet + 4, 900);
    f.size = ec_frame_encode(f.bytes, packet, EC_PACKET_HEADER);
    CHECK_EQUAL(0, send_frame(f));
    check_unchanged(before);
}

static void test_a_frame_without_end_is_dropped(void)
{
    begin_episode();
    snapshot before = look();
    for (unsigned i = 0; i < 100000; i++)
        CHECK_EQUAL(0, send((const uint8_t *)"\xFF", 1));
    CHECK_EQUAL(0, send((const uint8_t *)"", 1));
    check_unchanged(before);
    CHECK_EQUAL(1, device.receiver.bad);
    CHECK_EQUAL(EC_OK, ask_step(5));
}

static void test_empty_frames_are_not_counted(void)
{
    static const uint8_t zeros[100];
    connect();
    uint32_t bad = device.receiver.bad, good = device.receiver.good;
    CHECK_EQUAL(0, send(zeros, sizeof zeros));
    CHECK_EQUAL(bad, device.receiver.bad);
    CHECK_EQUAL(good, device.receiver.good);
}

static void test_replies_are_not_answered(void)
{
    connect();
    uint32_t bad = device.receiver.bad;
    for (unsigned type = 0x80; type <= 0xFF; type++)
        CHECK_EQUAL(0, send_frame(frame_of((uint8_t)type, SESSION, 900, NULL, 0)));
    CHECK_EQUAL(0, send_frame(frame_of(0, SESSION, 900, NULL, 0)));
    CHECK_EQUAL(bad + 129, device.receiver.bad);
}

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
    CHECK_EQUAL(40, device.upload_received);
}

/* ---- messages ---- */

static void test_an_unknown_type_is_refused(void)
{
    connect();
    for (unsigned type = EC_PEEK + 1; type < 0x80; type++) {
        CHECK_EQUAL(EC_REFUSED_TYPE, ask((uint8_t)type, NULL, 0));
        CHECK_EQUAL(type, detail());
    }
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
        {EC_UPLOAD_COMMIT, 0}, {EC_STATUS, 0}, {EC_STOP, 0}, {EC_PEEK, 4},
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

/* The image with other bits in one byte, whole otherwise. */
static image changed(const image *policy, unsigned offset, uint8_t bits)
{
    image made = *policy;
    uint8_t *bytes = (uint8_t *)made.words;
    bytes[offset] ^= bits;
    ec_put32(bytes + made.size - 4, ec_crc32(0, bytes, made.size - 4));
    return made;
}

/* The image with another golden CRC. */
static image without_proof(const image *policy)
{
    return changed(policy, 32, 1);
}

/* The image with so many golden steps. */
static image with_steps(const image *policy, uint8_t steps)
{
    const uint8_t *bytes = (const uint8_t *)policy->words;
    return changed(policy, 30, bytes[30] ^ steps);
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

/* ---- uploads ---- */

static void test_an_uploaded_policy_is_in_use(void)
{
    begin_episode();
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(12, reply_length);
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK(memcmp((const uint8_t *)other.words + 36, reply + 4, 8) == 0);
    CHECK_EQUAL(EC_SOURCE_RAM, source());
    CHECK_EQUAL(0, device.statistics.steps);
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(12 + 2 * device.uploaded.spec.n_act, reply_length);
}

static void test_an_upload_ends_the_episode(void)
{
    begin_episode();
    unsigned made_safe = plant.made_safe;
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK(plant.made_safe > made_safe);
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
}

static void test_every_damaged_word_of_an_upload_is_refused(void)
{
    connect();
    for (uint32_t i = 0; i < other.size / 4; i++) {
        image damaged = other;
        damaged.words[i] ^= 1u << i % 32;
        CHECK_EQUAL(EC_REFUSED_IMAGE, upload(&damaged));
        CHECK(detail() >= 2 && detail() <= 7);
        CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    }
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, upload(&other));
}

static void test_an_upload_that_computes_otherwise_is_refused(void)
{
    image wrong = without_proof(&other);
    connect();
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    uint32_t digest = ec_get32(reply + 8);
    CHECK_EQUAL(EC_REFUSED_GOLDEN, upload(&wrong));
    CHECK_EQUAL(ec_get32((const uint8_t *)other.words + 32), detail());
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    CHECK_EQUAL(digest, ec_get32(reply + 8));
}

static void test_an_upload_without_a_proof_is_refused(void)
{
    image unproven = with_steps(&other, 0);
    connect();
    CHECK_EQUAL(EC_REFUSED_GOLDEN, upload(&unproven));
    CHECK_EQUAL(0, detail());
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
}

static void test_an_upload_with_a_long_proof_is_refused(void)
{
    image longest = with_steps(&other, 64), slow = with_steps(&other, 65);
    connect();
    CHECK_EQUAL(EC_REFUSED_GOLDEN, upload(&longest)); /* it ran, with another CRC */
    CHECK_EQUAL(EC_REFUSED_IMAGE, upload(&slow));
    CHECK_EQUAL(-EC_ERR_FIELD, detail());
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
}

static void test_an_upload_too_large_for_its_memory_changes_nothing(void)
{
    begin_episode();
    snapshot before = look();
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_begin(RAM_SIZE + 1));
    CHECK_EQUAL(RAM_SIZE, detail());
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_begin(UINT32_MAX));
    before.number = sequence;
    check_unchanged(before);
    CHECK_EQUAL(EC_OK, ask_begin(RAM_SIZE));
}

static void test_a_network_larger_than_the_device_is_refused(void)
{
    const struct {
        uint16_t *limit;
        uint16_t value;
    } cases[] = {{&config.max_neurons, 32}, {&config.max_obs, 6}, {&config.max_act, 1}};
    for (unsigned i = 0; i < 3; i++) {
        configure();
        config.builtin_size = 0;
        *cases[i].limit = cases[i].value;
        power_on();
        CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
        CHECK_EQUAL(EC_REFUSED_CAPACITY, upload(&other));
        CHECK_EQUAL(cases[i].value, detail());
        CHECK_EQUAL(EC_SOURCE_NONE, source());
    }
}

static void test_data_out_of_order_is_refused(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    const uint32_t wrong[] = {0, 39, 41, other.size, 0x80000000u, UINT32_MAX};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_EQUAL(EC_REFUSED_OFFSET, ask_data(wrong[i], other.words, 40));
        CHECK_EQUAL(40, detail());
    }
    CHECK_EQUAL(EC_OK, ask_data(40, other.words, 0));
    CHECK_EQUAL(40, ec_get32(reply + 4));
}

static void test_data_beyond_the_size_is_refused(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_begin(60));
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 50));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask_data(50, other.words, 11));
    CHECK_EQUAL(14, detail());
    CHECK_EQUAL(EC_OK, ask_data(50, other.words, 10));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask_data(60, other.words, 1));
}

static void test_data_without_a_beginning_is_refused(void)
{
    connect();
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(0, other.words, 10));
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    snapshot before = look();
    for (uint32_t length = 0; length <= 10; length += 10) {
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(0, builtin.words, length));
        CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(10, builtin.words, length));
    }
    before.number = sequence;
    check_unchanged(before);
    CHECK(memcmp(policy_ram, other.words, other.size) == 0);
    CHECK_EQUAL(EC_OK, ask_step(1));
}

static void test_an_unfinished_upload_is_refused(void)
{
    connect();
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 60));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_UPLOAD_COMMIT, NULL, 0));
    CHECK_EQUAL(-EC_ERR_SHORT, detail());
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(60, other.words, 10)); /* it must begin anew */
}

static void test_a_commit_without_a_beginning_changes_nothing(void)
{
    connect();
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    snapshot before = look();
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_UPLOAD_COMMIT, NULL, 0));
    CHECK_EQUAL(-EC_ERR_SHORT, detail());
    before.number = sequence;
    check_unchanged(before);
    CHECK_EQUAL(EC_OK, ask_step(1));
    CHECK_EQUAL(EC_SOURCE_RAM, source());
}

static void test_an_upload_of_nothing_is_refused(void)
{
    begin_episode();
    snapshot before = look();
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_begin(0));
    CHECK_EQUAL(0, detail());
    before.number = sequence;
    check_unchanged(before);
}

/* ---- hostility that keeps to the frame ---- */

static void test_good_frames_of_any_content_leave_the_device_sane(void)
{
    uint8_t payload[MAX_PAYLOAD];
    connect();
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t length = noise() % (MAX_PAYLOAD + 1);
        uint8_t type = (uint8_t)(EC_RESET + noise() % 10);
        if (noise() % 2) /* lengths and fields that pass more often */
            length = type == EC_RESET ? 8 : type == EC_STEP ? 2u * device.policy->spec.n_obs : noise() % 9;
        for (uint32_t b = 0; b < length; b++)
            payload[b] = (uint8_t)(noise() % 3 ? 0 : noise());
        (void)ask(type, payload, length);
        CHECK(device.mode <= EC_MODE_SAFE);
        ec_device_poll(&device, i * (noise() % 8));
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

/* ---- running one: the names come from this very file ---- */

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#include "test_device_names.inc"
};

static void read_image(const char *path, image *policy)
{
    FILE *file = fopen(path, "rb");
    CHECK(file);
    policy->size = (uint32_t)fread(policy->words, 1, sizeof policy->words, file);
    CHECK(policy->size > EC_IMAGE_HEADER && feof(file));
    fclose(file);
}

int main(int argc, char **argv)
{
    CHECK_EQUAL(4, argc);
    read_image(argv[2], &builtin);
    read_image(argv[3], &other);
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(tests[i].name, argv[1]) == 0) {
            tests[i].run();
            return 0;
        }
    }
    printf("no test is called %s\n", argv[1]);
    return 2;
}
