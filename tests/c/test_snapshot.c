/* What was learned, in flash, whenever the power fails: docs/LINK.md, SNAPSHOT.
 */
#include "harness.h"

#define PAYLOAD 300u

static uint8_t old_payload[PAYLOAD], new_payload[PAYLOAD];

static void check_payload(ec_snapshot found, const uint8_t *wanted)
{
    uint8_t bytes[PAYLOAD];
    CHECK_EQUAL(PAYLOAD, found.size);
    flash.read(found.offset, bytes, PAYLOAD);
    CHECK(memcmp(wanted, bytes, PAYLOAD) == 0);
}

static bool save(const uint8_t *payload)
{
    return ec_snapshot_save(&flash, payload, 36, payload + 36, PAYLOAD - 36);
}

static void test_a_power_cut_at_any_moment_leaves_a_whole_snapshot(void)
{
    for (unsigned i = 0; i < PAYLOAD; i++) {
        old_payload[i] = (uint8_t)noise();
        new_payload[i] = (uint8_t)noise();
    }
    for (unsigned saved = 0; saved < 5; saved++) { /* of either area, and of none */
        bool came = false;
        for (unsigned cut = 1; !came; cut++) {
            new_flash();
            for (unsigned i = 0; i < saved; i++)
                CHECK(save(old_payload));
            flash_until_cut = cut;
            came = save(new_payload);
            flash_until_cut = 0;
            flash_is_off = false;
            ec_snapshot found = ec_snapshot_find(&flash);
            CHECK(found.sequence == saved || found.sequence == saved + 1);
            CHECK(!came || found.sequence == saved + 1);
            if (found.sequence > 0)
                check_payload(found, found.sequence == saved ? old_payload : new_payload);
            CHECK(save(old_payload)); /* and the next one comes out */
            check_payload(ec_snapshot_find(&flash), old_payload);
            CHECK(cut < 1000);
        }
    }
}

static void test_a_flipped_bit_in_flash_leaves_the_other_snapshot(void)
{
    new_flash();
    CHECK(save(old_payload));
    CHECK(save(new_payload));
    ec_snapshot newest = ec_snapshot_find(&flash);
    CHECK_EQUAL(2, newest.sequence);
    uint32_t head = newest.offset - 20;
    for (uint32_t bit = 0; bit < 8 * (20 + PAYLOAD); bit++) {
        flash_bytes[head + bit / 8] ^= (uint8_t)(1u << bit % 8);
        ec_snapshot found = ec_snapshot_find(&flash);
        CHECK_EQUAL(1, found.sequence);
        check_payload(found, old_payload);
        flash_bytes[head + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static uint8_t ask_snapshot(uint32_t verb)
{
    return ask_number(EC_SNAPSHOT, verb);
}

static void test_what_was_saved_goes_on_to_the_same(void)
{
    static uint8_t kept[RAM_SIZE];
    new_flash();
    evolve();
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    take_turns();
    CHECK_EQUAL(EC_OK, ask_number(EC_CONFIRM, EC_MEMBER_DECIDED));
    CHECK_EQUAL(EC_OK, ask_snapshot(1));
    CHECK_EQUAL(20, reply_length);
    CHECK_EQUAL(1, told(4));
    CHECK_EQUAL(1, told(12));
    uint32_t used = ec_learn_used(&learner, policy_ram);
    memcpy(kept, policy_ram, used);
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    take_turns();
    CHECK_EQUAL(EC_OK, ask_record(1, 0, 0));
    uint32_t hash = told(4);

    memset(policy_ram, 0, sizeof policy_ram); /* the power fails */
    connect();
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_PROGRESS, NULL, 0));
    CHECK_EQUAL(EC_OK, ask_snapshot(0));
    CHECK_EQUAL(1, told(4));
    CHECK_EQUAL(EC_SOURCE_BUILTIN, source());
    CHECK_EQUAL(EC_OK, ask_snapshot(2));
    CHECK_EQUAL(EC_SOURCE_EVOLVING, source());
    uint32_t image_size = device.policy->image_size;
    CHECK(memcmp(kept, policy_ram, image_size - 4) == 0); /* all but the image's CRC */
    CHECK(memcmp(kept + image_size, (uint8_t *)policy_ram + image_size, used - image_size) == 0);
    CHECK_EQUAL(EC_PRACTICE_NONE, progress());
    CHECK_EQUAL(1, told(12));
    CHECK_EQUAL(0, told(16));
    CHECK_EQUAL(1u << 28, told(56));
    CHECK_EQUAL(FIRST_SEED, told(60));
    CHECK_EQUAL(LONGEST, told(64));
    CHECK_EQUAL(EC_OK, ask_record(0, 0, POPULATION));
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    take_turns();
    CHECK_EQUAL(EC_OK, ask_record(1, 0, 0));
    CHECK_EQUAL(hash, told(4));
}

static void test_practice_saves_as_often_as_it_is_told(void)
{
    new_flash();
    evolve();
    terms t = usual;
    t.generations = 5;
    t.save_every = 2;
    CHECK_EQUAL(EC_OK, ask_practice(t));
    take_turns();
    CHECK_EQUAL(EC_OK, ask_snapshot(0));
    CHECK_EQUAL(2, told(4));
    CHECK_EQUAL(4, told(12));
}

static void test_a_snapshot_that_cannot_be_is_refused(void)
{
    uint8_t payload[8] = {0};
    new_flash();
    connect();
    for (uint32_t length = 0; length <= sizeof payload; length++) {
        if (length != 4)
            CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_SNAPSHOT, payload, length));
    }
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_snapshot(3));
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_snapshot(1));
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_snapshot(2));
    CHECK_EQUAL(1, detail());
    evolve();
    CHECK_EQUAL(EC_OK, ask_practice(usual));
    while (learner.learned == 0)
        take_turn();
    CHECK_EQUAL(EC_REFUSED_OFFSET, ask_snapshot(1));
    flash.pages = 4; /* too few */
    evolve();
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_snapshot(1));
    CHECK_EQUAL(2, detail());
    new_flash();
    flash_until_cut = 3;
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_snapshot(1));
    CHECK_EQUAL(3, detail());
    new_flash();
    CHECK_EQUAL(EC_OK, ask_snapshot(1));
    config.firmware_version++; /* another firmware may lay RAM out otherwise */
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_snapshot(2));
    CHECK_EQUAL(1, detail());
    config.flash = NULL;
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_snapshot(0));
    CHECK_EQUAL(0, detail());
    terms t = usual;
    t.save_every = 1;
    CHECK_EQUAL(EC_REFUSED_FLASH, ask_practice(t));
}
