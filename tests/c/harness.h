/* What the tests of the device share: a device with its plant and its clock, and a host that is written
 * from docs/LINK.md. Included once, by run_device.c.
 */
#ifndef HARNESS_H
#define HARNESS_H

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

/* Whoever catches an exit may not let streams be flushed. */
static void fail(void)
{
    fflush(stdout);
    exit(1);
}

static void check(bool good, const char *claim, int line)
{
    if (good)
        return;
    printf("line %d: not so: %s\n", line, claim);
    fail();
}

static void check_equal(int64_t expected, int64_t actual, const char *what, int line)
{
    if (expected == actual)
        return;
    printf("line %d: %s is %lld, not %lld\n", line, what, (long long)actual, (long long)expected);
    fail();
}

/* ---- a device, its plant, its clock ---- */

typedef struct {
    uint32_t words[RAM_SIZE / 4];
    uint32_t size;
} image;

static image builtin, other;

static uint32_t policy_ram[RAM_SIZE / 4];
static uint32_t net_memory[EC_NET_MEMORY(MAX_NEURONS, MAX_ACT, MAX_OBS) / 4];
static int16_t raw[MAX_OBS];
static int16_t outputs[MAX_ACT];
static ec_limit limits[64]; /* as many as a device can have outputs */
static uint8_t request_buffer[EC_REQUEST_SIZE(MAX_PAYLOAD)];
static uint8_t reply_buffer[EC_REPLY_SIZE(MAX_PAYLOAD, MAX_ACT)];
static ec_learner learner;
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
static uint32_t tick_cost; /* of a look at the clock: so much every step takes */

static uint32_t ticks(void)
{
    return clock_ticks += tick_cost;
}

/* A plant that is observed on the device's side: it counts, and ends when it is told to. */
static struct {
    uint32_t refusal;  /* begin's */
    uint32_t seed;     /* of the last begin */
    unsigned begun, sensed, judged;
    unsigned ends;     /* with this step of an episode, 0: never */
    uint8_t verdict;   /* then */
    int32_t reward;    /* of every step */
} clocked;

static uint32_t begin(void *context, const ec_policy *policy, uint32_t first)
{
    CHECK(context == &plant && policy == device.policy);
    if (clocked.refusal != 0)
        return clocked.refusal;
    clocked.begun++;
    clocked.seed = first;
    clocked.sensed = clocked.judged = 0;
    return 0;
}

static void sense(void *context, int16_t *counts, unsigned n)
{
    CHECK(context == &plant && n == device.policy->spec.n_obs);
    CHECK_EQUAL(clocked.judged, clocked.sensed);
    for (unsigned i = 0; i < n; i++)
        counts[i] = (int16_t)((int)((clocked.seed + clocked.sensed * 7919u + i * 104729u) % 4001u) - 2000);
    clocked.sensed++;
}

static uint8_t judge(void *context, int32_t *reward)
{
    CHECK(context == &plant);
    CHECK_EQUAL(0, *reward);
    clocked.judged++;
    *reward = clocked.reward;
    return clocked.judged == clocked.ends ? clocked.verdict : EC_PLANT_GOES_ON;
}

static bool can_baud(uint32_t baud)
{
    return baud == 9600 || baud == 1000000;
}

/* Flash of small pages; after so many erased pages or written words the power is off. */
#define FLASH_PAGE  64u
#define FLASH_PAGES 80u

static uint8_t flash_bytes[FLASH_PAGE * FLASH_PAGES];
static unsigned flash_until_cut; /* 0: never */
static bool flash_is_off;

static bool flash_works(void)
{
    if (flash_until_cut > 0 && --flash_until_cut == 0)
        flash_is_off = true;
    return !flash_is_off;
}

static bool erase_flash(uint32_t page)
{
    CHECK(page < FLASH_PAGES);
    bool works = flash_works();
    if (works || flash_until_cut == 0)
        memset(flash_bytes + page * FLASH_PAGE, 0xFF, works ? FLASH_PAGE : FLASH_PAGE / 2);
    return works;
}

static bool write_flash(uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    CHECK(offset % 4 == 0 && size % 4 == 0 && offset + size <= sizeof flash_bytes);
    for (uint32_t at = 0; at < size; at += 4) {
        bool works = flash_works();
        for (uint32_t i = at; i < at + (works ? 4 : 2); i++)
            flash_bytes[offset + i] &= bytes[i];
        if (!works)
            return false;
    }
    return true;
}

static void read_flash(uint32_t offset, uint8_t *bytes, uint32_t size)
{
    CHECK(offset % 4 == 0 && size % 4 == 0 && offset + size <= sizeof flash_bytes);
    memcpy(bytes, flash_bytes + offset, size);
}

static ec_flash flash = {FLASH_PAGE, FLASH_PAGES, erase_flash, write_flash, read_flash};

static void new_flash(void)
{
    memset(flash_bytes, 0, sizeof flash_bytes);
    flash.pages = FLASH_PAGES;
    flash_until_cut = 0;
    flash_is_off = false;
}

static void configure(void)
{
    static const uint8_t chip_id[EC_CHIP_ID_SIZE] = "sixteen bytes id";
    clock_ticks = UINT32_MAX - 10; /* wraps soon */
    tick_cost = 7;
    memset(&plant, 0, sizeof plant);
    memset(&clocked, 0, sizeof clocked);
    memset(&learner, 0, sizeof learner);
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
        .limits = limits,
        .request = request_buffer,
        .reply = reply_buffer,
        .can_baud = can_baud,
        .evolve = ec_device_evolve,
        .learner = &learner,
        .flash = &flash,
        .ticks = ticks,
        .tick_hz = 1000000,
        .rig = {
            .apply = apply,
            .safe = make_safe,
            .plant = "a plant of tests!",
            .begin = begin,
            .sense = sense,
            .judge = judge,
            .context = &plant,
        },
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

static uint8_t ask_episode(uint32_t first, uint32_t most, uint32_t period, uint32_t silence_ms)
{
    uint8_t payload[16];
    ec_put32(payload, first);
    ec_put32(payload + 4, most);
    ec_put32(payload + 8, period);
    ec_put32(payload + 12, silence_ms);
    return ask(EC_EPISODE, payload, sizeof payload);
}

static uint8_t ask_hosted(uint32_t first, uint32_t most, uint32_t period, uint32_t silence_ms)
{
    uint8_t payload[16];
    ec_put32(payload, first);
    ec_put32(payload + 4, most);
    ec_put32(payload + 8, period);
    ec_put32(payload + 12, silence_ms);
    return ask(EC_BEGIN, payload, sizeof payload);
}

static uint8_t ask_act(const int16_t *acts)
{
    uint8_t payload[2 * MAX_ACT];
    unsigned n = device.policy ? device.policy->spec.n_act : 1u;
    for (unsigned a = 0; a < n; a++)
        ec_put16(payload + 2 * a, (uint16_t)acts[a]);
    return ask(EC_ACT, payload, 2 * n);
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

static uint8_t ask_open(uint32_t size, uint32_t name, uint32_t block)
{
    uint8_t payload[12];
    ec_put32(payload, size);
    ec_put32(payload + 4, name);
    ec_put32(payload + 8, block);
    return ask(EC_UPLOAD_OPEN, payload, sizeof payload);
}

/* A block has no reply. */
static void send_block(uint16_t session, uint8_t number, uint32_t index, const void *bytes, uint32_t length)
{
    uint8_t payload[1 + MAX_PAYLOAD] = {number};
    memcpy(payload + 1, bytes, length);
    CHECK_EQUAL(0, send_frame(frame_of(EC_UPLOAD_BLOCK, session, (uint16_t)index, payload, 1 + length)));
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

static uint8_t ask_speed(uint32_t baud)
{
    uint8_t payload[4];
    ec_put32(payload, baud);
    return ask(EC_SPEED, payload, sizeof payload);
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
    uint32_t state, digest, limits, steps, made_safe, applied, episode_steps;
    uint32_t upload_size, upload_received, upload_beyond;
    uint32_t baud;
    uint16_t session, number;
    uint8_t mode, end;
    const ec_policy *policy;
} snapshot;

static snapshot look(void)
{
    snapshot s;
    memset(&s, 0, sizeof s);
    s.state = ec_net_digest(&device.net, 0);
    s.digest = device.digest;
    s.episode_steps = device.episode.steps;
    s.end = device.episode.end;
    s.limits = ec_crc32(0, limits, sizeof limits);
    s.steps = device.statistics.steps;
    s.made_safe = plant.made_safe;
    s.applied = plant.applied;
    s.upload_size = device.upload.size;
    s.upload_received = device.upload.received;
    s.upload_beyond = device.upload.beyond;
    s.baud = device.baud;
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
#define N_REQUESTS 14

static frame good_request(unsigned i)
{
    static const uint8_t payload[MAX_PAYLOAD] = {0};
    uint16_t number = (uint16_t)(1000 + i);
    uint8_t step_length = (uint8_t)(2 * device.policy->spec.n_obs);
    uint8_t act_length = (uint8_t)(2 * device.policy->spec.n_act);
    const uint8_t lengths[N_REQUESTS] = {6, 8, step_length, 4, 4, 0, 0, 0, 4, 10, 16, 0, 16, act_length};
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

/* ---- policy images ---- */

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

#endif
