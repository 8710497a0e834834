/* The device under whatever bytes and clock the fuzzer thinks of. The input is a small program: it sends
 * bytes as they are, or good frames of bad content, and lets time pass.
 *
 *     | variant u8 | operation u8, its operands | operation u8, its operands | ...
 *
 * What is read beyond the end is zero. tests/fuzzing.py builds and runs it.
 */
#include "harness.h"

#include "images.h" /* static const image images[2]: of tests/fuzzing.py */

/* The rig never applies what it does at rest: whether the plant is safe shows in its outputs. */
#define REST  77
#define LIMIT (REST - 1)

enum {
    BYTES, REQUEST, REPEAT, FRAME, WAIT, CONNECT, RESET, STEP, UPLOAD, BEGIN, DATA, LIMIT_OUTPUT, EPISODE,
    CLOCK, OPEN, BLOCK, HOSTED, ACT, EVOLVE, LEARN, PRACTICE, TRACKS, OPERATIONS
};

enum { BUILT_IN, NO_POLICY, LOADED, DAMAGED, VARIANTS };

/* ---- the input ---- */

static struct {
    const uint8_t *at;
    size_t left;
} input;

static uint8_t take8(void)
{
    if (input.left == 0)
        return 0;
    input.left--;
    return *input.at++;
}

static uint16_t take16(void)
{
    uint8_t low = take8();
    return (uint16_t)(low | take8() << 8);
}

static uint32_t take_bytes(uint8_t *bytes, uint32_t most)
{
    uint32_t length = take8();
    length = length < most ? length : most;
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = take8();
    return length;
}

/* ---- what always holds ---- */

static uint32_t now_ms, led_ms;
static bool led; /* since the last poll, by what its replies say */

static void check_outputs(void)
{
    unsigned n = device.policy ? device.policy->spec.n_act : 0u;
    for (unsigned a = 0; a < n; a++) {
        bool safe = outputs[a] == REST;
        CHECK(safe || device.mode == EC_MODE_RUN || device.mode == EC_MODE_CLOCKED ||
              device.mode == EC_MODE_HOSTED ||
              (device.mode == EC_MODE_PRACTICE && device.episode.end == EC_END_RUNS));
        CHECK(safe == (outputs[0] == REST));
        CHECK(safe || (-LIMIT <= outputs[a] && outputs[a] <= LIMIT));
    }
}

static void check_practice(void)
{
    const ec_practice *practice = &learner.practice;
    CHECK(learner.population > 0 || device.mode != EC_MODE_PRACTICE);
    if (learner.population == 0)
        return;
    CHECK((practice->state == EC_PRACTICE_RUNS) == (device.mode == EC_MODE_PRACTICE));
    CHECK(practice->member < learner.population && practice->phase <= EC_PHASE_MOVE);
    CHECK(device.mode != EC_MODE_PRACTICE ||
          (practice->phase == EC_PHASE_ACT) == (device.episode.end == EC_END_RUNS));
    CHECK(learner.evolve.generation - practice->first_record <= learner.records_most);
    const uint8_t *end = (const uint8_t *)policy_ram + sizeof policy_ram;
    CHECK(!learner.confirmed ||
          (const uint8_t *)ec_learn_record(&learner, practice->first_record + learner.records_most) <= end);
}

static void check_device(void)
{
    CHECK(device.mode <= EC_MODE_PRACTICE);
    CHECK(device.mode == EC_MODE_PRACTICE ||
          (device.mode == EC_MODE_CLOCKED || device.mode == EC_MODE_HOSTED) ==
              (device.episode.end == EC_END_RUNS));
    CHECK(device.episode.end <= EC_END_FAULT);
    CHECK(device.episode.steps <= device.episode.most);
    for (unsigned a = 0; a < MAX_ACT; a++)
        CHECK(limits[a].low <= limits[a].high);
    CHECK(!device.policy || device.policy == &device.builtin || device.policy == &device.uploaded);
    CHECK(device.policy || device.mode == EC_MODE_IDLE || device.mode == EC_MODE_FAULT);
    CHECK(!device.policy || device.mode != EC_MODE_FAULT);
    CHECK(device.receiver.length <= sizeof request_buffer);
    CHECK(device.reply_size <= sizeof reply_buffer);
    const ec_upload *u = &device.upload;
    CHECK(u->received <= u->size && u->size <= RAM_SIZE);
    CHECK((u->beyond & 1) == 0 && (u->beyond == 0 || u->block > 0));
    CHECK(u->block == 0 || u->received == u->size || u->received % u->block == 0);
    CHECK(device.baud == 0 || can_baud(device.baud));
    CHECK(learner.population == 0 || device.policy == &device.uploaded);
    CHECK(device.tracks == 0 || (device.policy && learner.population == 0 && device.upload.size == 0));
    CHECK(learner.population == 0 || learner.learned < learner.evolve.n_words);
    check_practice();
    CHECK_EQUAL(device.statistics.steps * 7ull, device.statistics.sum_ticks);
    check_outputs();
}

static void heed_reply(void)
{
    uint8_t type = reply_packet[0] & (uint8_t)~EC_PACKET_REPLY;
    bool leads = type == EC_RESET || type == EC_STEP || type == EC_EPISODE || type == EC_BEGIN || type == EC_ACT ||
                 (type == EC_RESULT && reply[1] == EC_MODE_CLOCKED) || type == EC_PRACTICE ||
                 (type == EC_PROGRESS && reply[1] == EC_MODE_PRACTICE) ||
                 (type == EC_MEMBER && reply[1] == EC_MODE_RUN);
    led = led || (leads && reply[0] == EC_OK);
}

/* Bytes one by one: every reply is seen, and the device after each. */
static unsigned deliver(const uint8_t *bytes, uint32_t size)
{
    unsigned replies = 0;
    for (uint32_t i = 0; i < size; i++) {
        if (send(bytes + i, 1) == 0)
            continue;
        replies++;
        heed_reply();
        check_device();
    }
    return replies;
}

static void wait(uint32_t ms)
{
    now_ms += ms;
    if (led)
        led_ms = now_ms;
    led = false;
    ec_device_poll(&device, now_ms);
    if (device.mode == EC_MODE_RUN || device.mode == EC_MODE_HOSTED) {
        CHECK(EC_SILENCE_MS_LEAST <= device.silence_ms && device.silence_ms <= EC_SILENCE_MS_MOST);
        CHECK(now_ms - led_ms <= device.silence_ms);
    }
    if (device.mode == EC_MODE_CLOCKED || device.mode == EC_MODE_PRACTICE)
        CHECK(device.silence_ms == 0 || now_ms - led_ms <= device.silence_ms);
}

/* ---- operations ---- */

static const uint8_t zero = 0;

/* A request that is not taken for a repeat, on a line that is clear. */
static void begin_request(void)
{
    deliver(&zero, 1);
    if ((uint16_t)(sequence + 1) == device.sequence)
        sequence++;
}

static void request(uint8_t type, const void *payload, uint32_t length)
{
    begin_request();
    if (type == EC_UPLOAD_BLOCK) {
        CHECK_EQUAL(0, send_frame(frame_of(type, SESSION, ++sequence, payload, length)));
        return;
    }
    ask(type, payload, length);
    heed_reply();
}

static void join(void)
{
    begin_request();
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    CHECK_EQUAL(SESSION, device.session);
}

/* The last request again: it changes nothing, and its reply is the same. */
static void repeat(void)
{
    if (device.session != SESSION || device.sequence != sequence || !device.policy)
        return;
    uint8_t type = 1 + take8() % 127;
    uint8_t payload[MAX_PAYLOAD];
    uint32_t length = take_bytes(payload, sizeof payload);
    if (type == EC_HELLO || type == EC_UPLOAD_BLOCK || type == EC_SPEED)
        return;
    uint8_t kept[sizeof reply_buffer];
    memcpy(kept, reply_buffer, sizeof kept);
    deliver(&zero, 1);
    if (device.sequence != sequence || !device.policy)
        return; /* the zero ended a request */
    snapshot before = look();
    frame f = frame_of(type, SESSION, sequence, payload, length);
    CHECK_EQUAL(1, deliver(f.bytes, f.size));
    check_unchanged(before);
    CHECK(device.reply == reply_buffer && memcmp(kept, reply_buffer, sizeof kept) == 0);
}

/* A good frame whose header is as bad as it may be. */
static void any_frame(void)
{
    uint8_t payload[MAX_PAYLOAD + 200];
    uint8_t type = take8();
    uint16_t session = take16();
    uint16_t number = take16();
    uint32_t length = take_bytes(payload, sizeof payload);
    deliver(&zero, 1);
    frame f = frame_of(type, session, number, payload, length);
    bool is_request = type != 0 && type < EC_PACKET_REPLY && length <= MAX_PAYLOAD;
    bool is_stranger = type != EC_HELLO && session != device.session;
    bool can_change = (is_request && !is_stranger) || !device.policy;
    snapshot before;
    if (!can_change)
        before = look();
    CHECK_EQUAL(is_request && type != EC_UPLOAD_BLOCK, deliver(f.bytes, f.size));
    if (!can_change)
        check_unchanged(before);
}

static void step(void)
{
    uint8_t payload[2 * MAX_OBS] = {0};
    uint32_t n = device.policy ? 2u * device.policy->spec.n_obs : 2u;
    (void)take_bytes(payload, sizeof payload);
    request(EC_STEP, payload, n);
}

/* A whole image with one byte changed, its CRC made good again. */
static void upload_changed(void)
{
    const image *policy = &images[take8() % 2];
    uint16_t offset = take16();
    uint8_t bits = take8();
    image made = changed(policy, offset % (policy->size - 4), bits);
    join();
    begin_request();
    uint8_t status = upload(&made);
    CHECK(status == EC_OK || status == EC_REFUSED_IMAGE || status == EC_REFUSED_CAPACITY ||
          status == EC_REFUSED_GOLDEN);
    CHECK_EQUAL(status == EC_OK, device.policy == &device.uploaded);
    CHECK(bits != 0 || status == EC_OK);
    if (status == EC_OK)
        CHECK(memcmp(reply + 4, (const uint8_t *)made.words + 36, EC_HASH_SIZE) == 0);
}

/* A block near where the upload stands; now and then one that is none. It lands in its place alone. */
static void block(void)
{
    const ec_upload *u = &device.upload;
    uint8_t payload[MAX_PAYLOAD], ahead = take8(), wrong = take8();
    uint32_t size = u->block > 0 ? u->block : 1;
    uint16_t index = (uint16_t)(u->received / size + ahead % 40u);
    uint32_t begin = index * size;
    uint32_t length = begin < u->size && u->size - begin < size ? u->size - begin : size;
    if (wrong % 8 == 7)
        length = take8() % (MAX_PAYLOAD - 1);
    payload[0] = (uint8_t)(u->number + (wrong % 8 == 6));
    memset(payload + 1, wrong, length);
    begin_request();
    uint8_t *ram = (uint8_t *)policy_ram;
    uint8_t before = begin > 0 && begin <= RAM_SIZE ? ram[begin - 1] : 0;
    uint8_t behind = begin + length < RAM_SIZE ? ram[begin + length] : 0;
    CHECK_EQUAL(0, send_frame(frame_of(EC_UPLOAD_BLOCK, SESSION, index, payload, 1 + length)));
    CHECK(begin == 0 || begin > RAM_SIZE || ram[begin - 1] == before);
    CHECK(begin + length >= RAM_SIZE || ram[begin + length] == behind);
}

/* So many tracks, and a step of one; or a step alone. */
static void tracks(void)
{
    uint8_t bytes[2 + 2 * MAX_OBS] = {0}, count = take8();
    bytes[0] = take8();
    bytes[1] = take8() % 5u;
    if (count > 0) {
        uint8_t payload[4] = {count};
        request(EC_TRACKS, payload, sizeof payload);
    }
    request(EC_TRACKS_STEP, bytes, device.policy ? 2u + 2u * device.policy->spec.n_obs : 4u);
}

static void operate(uint8_t operation)
{
    uint8_t bytes[256];
    uint32_t length;
    switch (operation % OPERATIONS) {
    case BYTES:
        length = take_bytes(bytes, sizeof bytes);
        deliver(bytes, length);
        break;
    case REQUEST: {
        uint8_t type = 1 + take8() % 127;
        length = take_bytes(bytes, MAX_PAYLOAD);
        request(type, bytes, length);
        break;
    }
    case REPEAT: repeat(); break;
    case FRAME: any_frame(); break;
    case WAIT: {
        uint16_t ms = take16();
        wait(ms < 0xFF00 ? ms : UINT32_MAX - ms); /* also over the clock's wrap */
        break;
    }
    case CONNECT: join(); break;
    case RESET: {
        uint8_t payload[8] = {take8() & 1};
        ec_put16(payload + 4, take16());
        request(EC_RESET, payload, sizeof payload);
        break;
    }
    case STEP: step(); break;
    case UPLOAD: upload_changed(); break;
    case BEGIN:
        ec_put32(bytes, take16());
        request(EC_UPLOAD_BEGIN, bytes, 4);
        break;
    case LIMIT_OUTPUT:
        ec_put32(bytes, take8() % (MAX_ACT + 1));
        length = take_bytes(bytes + 4, MAX_PAYLOAD - 4);
        request(EC_LIMITS, bytes, 4 + length);
        break;
    case HOSTED:
    case EPISODE: {
        uint8_t payload[16] = {0};
        clocked.ends = take8();
        clocked.verdict = take8();
        clocked.refusal = clocked.ends == UINT8_MAX;
        ec_put16(payload + 4, take16());
        ec_put16(payload + 8, take16());
        ec_put16(payload + 12, take16());
        request(operation % OPERATIONS == HOSTED ? EC_BEGIN : EC_EPISODE, payload, sizeof payload);
        break;
    }
    case ACT:
        clock_ticks += take16();
        memset(bytes, 0, 2 * MAX_ACT);
        (void)take_bytes(bytes, 2 * MAX_ACT);
        request(EC_ACT, bytes, device.policy ? 2u * device.policy->spec.n_act : 2u);
        break;
    case CLOCK: {
        clock_ticks += take16();
        uint32_t left = ec_device_clock(&device);
        bool clocks = device.mode == EC_MODE_CLOCKED || device.mode == EC_MODE_PRACTICE;
        CHECK(clocks ? left <= device.episode.period || left <= config.tick_hz : left == EC_NEVER);
        break;
    }
    case DATA:
        ec_put32(bytes, device.upload.received);
        length = take_bytes(bytes + 4, MAX_PAYLOAD - 4);
        request(EC_UPLOAD_DATA, bytes, 4 + length);
        break;
    case OPEN:
        ec_put32(bytes, take16() % (RAM_SIZE + 100u));
        ec_put32(bytes + 4, take8() % 2u);
        ec_put32(bytes + 8, take8() % (MAX_PAYLOAD + 2u));
        request(EC_UPLOAD_OPEN, bytes, 12);
        break;
    case BLOCK: block(); break;
    case EVOLVE:
        memset(bytes, 0, 16);
        bytes[8] = take8();
        bytes[12] = take8();
        bytes[14] = take8();
        request(EC_EVOLVE, bytes, 16);
        break;
    case PRACTICE: {
        uint8_t turns = take8();
        memset(bytes, 0, EC_PRACTICE_SIZE);
        clocked.ends = take8();
        clocked.verdict = take8();
        clocked.refusal = clocked.ends == UINT8_MAX;
        clocked.reward = (int32_t)((uint32_t)take8() << 24);
        bytes[0] = 1 + take8() % 3; /* generations, */
        bytes[8] = 1 + take8() % 8; /* steps of an episode, */
        for (unsigned i = 16; i < 36; i += 4) /* silence, patience, budgets, */
            bytes[i] = take8();
        bytes[36] = 1 + take8() % 2; /* episodes of a member */
        bytes[38] = turns % 2;       /* snapshots */
        request(EC_PRACTICE, bytes, EC_PRACTICE_SIZE);
        for (unsigned i = 0; i < turns && device.mode == EC_MODE_PRACTICE; i++) {
            clocked.reward ^= (int32_t)(learner.practice.member << 20);
            (void)ec_device_clock(&device);
            check_device();
        }
        break;
    }
    case LEARN: {
        uint8_t type = (uint8_t)(EC_MEMBER + take8() % (EC_SNAPSHOT - EC_EVOLVE));
        for (unsigned i = 0; i < 3; i++)
            ec_put32(bytes + 4 * i, take8());
        length = take8() % 13u;
        if (type == EC_LEARN)
            ec_put32(bytes, learner.evolve.generation);
        request(type, bytes, length);
        break;
    }
    case TRACKS: tracks(); break;
    }
}

static void load_builtin(void *ram)
{
    memcpy(ram, builtin.words, builtin.size);
}

static void start(uint8_t variant)
{
    static image damaged;
    builtin = images[0];
    configure();
    plant.rest = REST;
    plant.limit = LIMIT;
    switch (variant % VARIANTS) {
    case NO_POLICY: config.builtin_size = 0; break;
    case LOADED: config.load = load_builtin; break;
    case DAMAGED:
        damaged = without_proof(&builtin);
        config.builtin = damaged.words;
        break;
    default: break;
    }
    /* As reset memory is: nothing of the last input decides about this one. */
    memset(policy_ram, 0, sizeof policy_ram);
    new_flash();
    memset(net_memory, 0, sizeof net_memory);
    memset(request_buffer, 0, sizeof request_buffer);
    memset(reply_buffer, 0, sizeof reply_buffer);
    memset(outputs, 0, sizeof outputs);
    memset(reply_packet, 0, sizeof reply_packet);
    now_ms = led_ms = 0;
    led = false;
    sequence = 0;
    power_on();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input.at = data;
    input.left = size;
    start(take8());
    check_device();
    join();
    while (input.left > 0) {
        operate(take8());
        check_device();
    }
    return 0;
}
