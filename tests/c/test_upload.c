/* Uploads: docs/LINK.md section 4, 0x04 to 0x06, 0x10 and 0x11.
 */
#include "harness.h"

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

/* ---- uploads in blocks ---- */

#define NAME  0xDEC0DEu
#define BLOCK 90u

static uint32_t block_count(uint32_t size, uint32_t block)
{
    return (size + block - 1) / block;
}

/* The block of `other` with that index, as the upload that was opened last has it. */
static void send_other(uint32_t index, uint32_t block)
{
    uint32_t begin = index * block;
    uint32_t length = other.size - begin < block ? other.size - begin : block;
    send_block(SESSION, device.upload.number, index, (const uint8_t *)other.words + begin, length);
}

static void open_other(uint32_t block, uint32_t received, uint32_t beyond)
{
    CHECK_EQUAL(EC_OK, ask_open(other.size, NAME, block));
    CHECK_EQUAL(12, reply_length);
    CHECK_EQUAL(device.upload.number, reply[2]);
    CHECK_EQUAL(EC_UPLOAD_WINDOW, reply[3]);
    CHECK_EQUAL(received, ec_get32(reply + 4));
    CHECK_EQUAL(beyond, ec_get32(reply + 8));
}

static void test_blocks_make_an_upload_in_whatever_order(void)
{
    uint32_t state = 1;
    connect();
    for (unsigned round = 0; round < 50; round++) {
        uint32_t block = 1 + (state >> 8) % (MAX_PAYLOAD - 1);
        uint32_t count = block_count(other.size, block);
        memset(policy_ram, 0, sizeof policy_ram);
        open_other(block, 0, 0);
        for (unsigned tries = 0; device.upload.received < other.size; tries++) {
            CHECK(tries < 100 * count);
            state = state * 1664525u + 1013904223u;
            uint32_t first = device.upload.received / block;
            uint32_t index = first + (state >> 16) % (EC_UPLOAD_WINDOW + 8); /* some too far ahead */
            if (index < count)
                send_other(index, block);
            if (first > 0)
                send_other(state % first, block); /* a late one */
        }
        CHECK(memcmp(policy_ram, other.words, other.size) == 0);
        open_other(block, other.size, 0);
        CHECK_EQUAL(EC_OK, ask(EC_UPLOAD_COMMIT, NULL, 0));
        CHECK_EQUAL(EC_SOURCE_RAM, source());
    }
}

static void test_an_upload_in_blocks_tells_what_is_missing(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    send_other(1, BLOCK);
    send_other(3, BLOCK);
    send_other(3, BLOCK);
    open_other(BLOCK, 0, 1u << 1 | 1u << 3);
    send_other(0, BLOCK);
    open_other(BLOCK, 2 * BLOCK, 1u << 1);
    send_other(2, BLOCK);
    open_other(BLOCK, 4 * BLOCK, 0);
}

static void test_an_upload_in_blocks_goes_on_in_another_session(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    send_other(0, BLOCK);
    send_other(2, BLOCK);
    uint16_t number = 0x7777;
    CHECK_EQUAL(1, send_frame(frame_of(EC_HELLO, 0x4321, number++, hello, sizeof hello)));
    send_other(3, BLOCK); /* of the session before */
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
    open_other(BLOCK, BLOCK, 1u << 1);
}

static void test_blocks_of_another_size_go_on_after_the_last_whole_one(void)
{
    connect();
    open_other(40, 0, 0);
    for (uint32_t index = 0; index < 5; index++)
        send_other(index, 40);
    send_other(6, 40);
    uint8_t number = device.upload.number;
    open_other(90, 180, 0);
    CHECK(number != device.upload.number);
    send_block(SESSION, number, 2, other.words, 90); /* a late one, that fits by chance */
    open_other(90, 180, 0);
    open_other(20, 180, 0);
    while (device.upload.received < other.size)
        send_other(device.upload.received / 20, 20);
    open_other(90, other.size, 0);
    CHECK_EQUAL(EC_OK, ask(EC_UPLOAD_COMMIT, NULL, 0));
}

static void test_another_image_begins_anew(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    send_other(0, BLOCK);
    CHECK_EQUAL(EC_OK, ask_open(other.size, NAME + 1, BLOCK));
    CHECK_EQUAL(0, ec_get32(reply + 4));
    send_other(0, BLOCK);
    CHECK_EQUAL(EC_OK, ask_open(other.size - 1, NAME + 1, BLOCK));
    CHECK_EQUAL(0, ec_get32(reply + 4));
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_OK, ask_open(other.size, 0, BLOCK)); /* the name that UPLOAD_BEGIN leaves */
    CHECK_EQUAL(0, ec_get32(reply + 4));
}

static void test_blocks_that_are_none_change_nothing(void)
{
    begin_episode();
    snapshot before = look();
    uint8_t number = device.upload.number;
    send_block(SESSION, number, 0, other.words, BLOCK); /* no upload */
    check_unchanged(before);
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    send_block(SESSION, device.upload.number, 0, other.words, BLOCK); /* not in blocks */
    CHECK_EQUAL(0, device.upload.received);
    open_other(BLOCK, 0, 0);
    send_other(0, BLOCK);
    send_other(2, BLOCK);
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    before = look();
    number = device.upload.number;
    uint32_t last = block_count(other.size, BLOCK) - 1;
    const struct {
        uint16_t session;
        uint8_t number;
        uint32_t index, length;
    } wrong[] = {
        {SESSION, number, 0, BLOCK}, /* twice */
        {SESSION, number, 2, BLOCK},
        {SESSION + 1, number, 1, BLOCK},
        {SESSION, (uint8_t)(number - 1), 1, BLOCK},
        {SESSION, (uint8_t)(number + 1), 1, BLOCK},
        {SESSION, number, 1, BLOCK - 1},
        {SESSION, number, 1, 0},
        {SESSION, number, last, BLOCK}, /* longer than what is left */
        {SESSION, number, last + 1, 0},
        {SESSION, number, 0xFFFF, BLOCK},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        send_block(wrong[i].session, wrong[i].number, wrong[i].index, builtin.words, wrong[i].length);
    CHECK_EQUAL(0, send_frame(frame_of(EC_UPLOAD_BLOCK, SESSION, 1, NULL, 0)));
    check_unchanged(before);
    CHECK_EQUAL(EC_OK, ask_step(1));
    send_other(1, BLOCK);
    CHECK_EQUAL(EC_MODE_IDLE, device.mode);
    CHECK_EQUAL(3 * BLOCK, device.upload.received);
}

static void test_a_block_beyond_the_window_is_dropped(void)
{
    connect();
    open_other(4, 0, 0);
    send_other(EC_UPLOAD_WINDOW, 4);
    open_other(4, 0, 0);
    send_other(EC_UPLOAD_WINDOW - 1, 4);
    open_other(4, 0, 1u << (EC_UPLOAD_WINDOW - 1));
    for (uint32_t index = 0; index < EC_UPLOAD_WINDOW - 1; index++)
        send_other(index, 4);
    open_other(4, 4 * EC_UPLOAD_WINDOW, 0);
}

static void test_an_upload_in_blocks_that_cannot_be_changes_nothing(void)
{
    begin_episode();
    snapshot before = look();
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_open(RAM_SIZE + 1, NAME, BLOCK));
    CHECK_EQUAL(RAM_SIZE, detail());
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_open(0, NAME, BLOCK));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_open(other.size, NAME, 0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_open(other.size, NAME, MAX_PAYLOAD));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_open(other.size, NAME, 0x10000u | BLOCK));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_open(0x10001, NAME, 1)); /* more blocks than there are indices */
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_UPLOAD_OPEN, other.words, 11));
    CHECK_EQUAL(12, detail());
    before.number = sequence;
    check_unchanged(before);
    open_other(MAX_PAYLOAD - 1, 0, 0);
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_data(0, other.words, 10)); /* it comes in blocks */
}

static void test_an_upload_in_blocks_with_a_gap_is_refused(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    for (uint32_t index = 0; index < block_count(other.size, BLOCK); index++) {
        if (index != 2)
            send_other(index, BLOCK);
    }
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_UPLOAD_COMMIT, NULL, 0));
    CHECK_EQUAL(-EC_ERR_SHORT, detail());
    send_other(2, BLOCK); /* too late */
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    open_other(BLOCK, 0, 0);
}

static void test_a_block_leaves_the_kept_reply(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    frame again = frame_of(EC_UPLOAD_OPEN, SESSION, sequence, NULL, 0);
    send_other(0, BLOCK);
    CHECK_EQUAL(1, send_frame(again));
    CHECK_EQUAL(0, ec_get32(reply + 4)); /* as it was when it was asked */
    CHECK_EQUAL(1, device.repeats);
    send_block(SESSION, device.upload.number, sequence, other.words, BLOCK);
    CHECK_EQUAL(1, device.repeats);
}

static void test_every_damaged_block_is_dropped(void)
{
    connect();
    open_other(BLOCK, 0, 0);
    uint8_t payload[1 + BLOCK] = {device.upload.number};
    memcpy(payload + 1, other.words, BLOCK);
    frame good = frame_of(EC_UPLOAD_BLOCK, SESSION, 0, payload, sizeof payload);
    for (uint32_t length = 0; length < good.size - 1; length++) {
        frame cut = good;
        cut.size = length;
        CHECK_EQUAL(0, send_frame(cut));
        CHECK_EQUAL(0, send((const uint8_t *)"", 1));
        CHECK_EQUAL(0, device.upload.received);
    }
    for (uint32_t bit = 0; bit < 8 * good.size; bit++) {
        frame flipped = good;
        flipped.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQUAL(0, send_frame(flipped));
        CHECK_EQUAL(0, send((const uint8_t *)"", 1));
        CHECK_EQUAL(0, device.upload.received);
    }
    CHECK_EQUAL(0, send_frame(good));
    CHECK_EQUAL(BLOCK, device.upload.received);
}

/* ---- a built-in policy that is copied to where uploads go ---- */

static void load_builtin(void *ram)
{
    memcpy(ram, builtin.words, builtin.size);
}

static void connect_loading(void)
{
    configure();
    config.builtin = NULL;
    config.load = load_builtin;
    power_on();
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
}

static uint32_t digest_of_a_step(void)
{
    CHECK_EQUAL(EC_OK, ask_reset(0));
    CHECK_EQUAL(EC_OK, ask_step(0));
    return ec_get32(reply + 8);
}

static void test_a_copied_policy_is_gone_from_the_first_data_to_the_commit(void)
{
    connect_loading();
    uint32_t digest = digest_of_a_step();
    CHECK_EQUAL(EC_OK, ask_begin(other.size));
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(digest, digest_of_a_step());
    CHECK_EQUAL(EC_OK, ask_data(0, other.words, 40));
    CHECK_EQUAL(EC_SOURCE_NONE, source());
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_reset(0));
    CHECK_EQUAL(0, detail());
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_UPLOAD_COMMIT, NULL, 0));
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(digest, digest_of_a_step());
}

static void test_a_copied_policy_is_gone_from_the_first_block_on(void)
{
    connect_loading();
    uint32_t digest = digest_of_a_step();
    open_other(BLOCK, 0, 0);
    CHECK_EQUAL(digest, digest_of_a_step());
    send_other(1, BLOCK);
    CHECK_EQUAL(EC_SOURCE_NONE, source());
    open_other(BLOCK, 0, 1u << 1);
    CHECK_EQUAL(EC_OK, ask_open(other.size, NAME + 1, BLOCK));
    CHECK_EQUAL(digest, digest_of_a_step());
}

static void test_a_copied_policy_comes_back_after_an_upload(void)
{
    image wrong = without_proof(&other);
    connect_loading();
    uint32_t digest = digest_of_a_step();
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_SOURCE_RAM, source());
    CHECK(digest_of_a_step() != digest);
    CHECK_EQUAL(EC_REFUSED_GOLDEN, upload(&wrong));
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(digest, digest_of_a_step());
    CHECK_EQUAL(EC_OK, upload(&other));
    CHECK_EQUAL(EC_OK, ask_begin(4));
    CHECK_EQUAL(digest, digest_of_a_step());
}

static void test_a_copied_policy_needs_its_room(void)
{
    configure();
    config.load = load_builtin;
    config.policy_ram_size = builtin.size - 4;
    CHECK_EQUAL(EC_ERR_ARGUMENT, ec_device_init(&device, &config));
}
