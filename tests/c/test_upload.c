/* Uploads: docs/LINK.md section 4, 0x04 to 0x06.
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
