/* Networks that drive no plant: docs/LINK.md, "Tracks". */
#include "harness.h"

#define TRACKS 3
#define ENTRY  (2 + 2 * MAX_OBS)

static uint8_t ask_tracks(uint32_t count)
{
    uint8_t payload[4];
    ec_put32(payload, count);
    return ask(EC_TRACKS, payload, sizeof payload);
}

/* Step t of each of these tracks, in one request. */
static uint8_t ask_tracks_step(const uint8_t *tracks, unsigned count, uint8_t flags, unsigned t)
{
    uint8_t payload[MAX_PAYLOAD];
    uint32_t length = 0;
    unsigned n = device.policy->spec.n_obs;
    for (unsigned k = 0; k < count; k++) {
        int16_t counts[MAX_OBS];
        observe(counts, n, 10 * t + tracks[k]);
        payload[length++] = tracks[k];
        payload[length++] = flags;
        for (unsigned i = 0; i < n; i++, length += 2)
            ec_put16(payload + length, (uint16_t)counts[i]);
    }
    return ask(EC_TRACKS_STEP, payload, length);
}

static const uint8_t *told_of(unsigned k)
{
    return reply + 8 + k * (6u + 2u * device.policy->spec.n_act);
}

static void test_each_track_is_a_network_of_its_own(void)
{
    static const uint8_t all[TRACKS] = {0, 1, 2}, some[] = {2, 0};
    uint32_t digests[TRACKS];
    int16_t last[TRACKS][MAX_ACT];
    connect();
    CHECK_EQUAL(EC_OK, ask_tracks(TRACKS));
    unsigned applied = plant.applied;
    for (unsigned t = 0; t < 6; t++) {
        CHECK_EQUAL(EC_OK, ask_tracks_step(t < 4 ? all : some, t < 4 ? TRACKS : 2, t == 0 ? 3 : 2, t));
        for (unsigned k = 0; k < (t < 4 ? TRACKS : 2); k++) {
            unsigned track = t < 4 ? k : some[k];
            digests[track] = ec_get32(told_of(k));
            for (unsigned a = 0; a < device.policy->spec.n_act; a++)
                last[track][a] = (int16_t)ec_signed16(ec_get16(told_of(k) + 6 + 2 * a));
        }
    }
    CHECK_EQUAL(EC_MODE_IDLE, reply[1]);
    CHECK_EQUAL(applied, plant.applied);
    CHECK_EQUAL(0, device.statistics.steps);
    for (unsigned track = 0; track < TRACKS; track++) { /* the same, driving the plant alone */
        CHECK_EQUAL(EC_OK, ask_reset(SILENCE_MS));
        for (unsigned t = 0; t < (track == 1 ? 4 : 6); t++)
            CHECK_EQUAL(EC_OK, ask_step(10 * t + track));
        CHECK_EQUAL(ec_get32(reply + 8), digests[track]);
        CHECK(memcmp(reply + 12, last[track], 2u * device.policy->spec.n_act) == 0);
    }
    CHECK_EQUAL(TRACKS, device.tracks); /* an episode leaves them be */
    CHECK_EQUAL(EC_OK, ask_tracks_step(all, TRACKS, 0, 7));
    CHECK_EQUAL(digests[1], ec_get32(told_of(1)));
}

static void test_a_track_begins_again_by_itself(void)
{
    static const uint8_t one[] = {1};
    connect();
    CHECK_EQUAL(EC_OK, ask_tracks(2));
    CHECK_EQUAL(EC_OK, ask_tracks_step(one, 1, 2, 5));
    uint32_t digest = ec_get32(told_of(0));
    CHECK_EQUAL(EC_OK, ask_tracks_step(one, 1, 2, 5));
    CHECK(digest != ec_get32(told_of(0)));
    CHECK_EQUAL(EC_OK, ask_tracks_step(one, 1, 3, 5));
    CHECK_EQUAL(digest, ec_get32(told_of(0)));
}

static void test_bad_requests_of_tracks_change_nothing(void)
{
    static const uint8_t first[] = {0}, beyond[] = {0, 2}, many[MAX_PAYLOAD / 4] = {0};
    uint8_t entry[ENTRY + 1] = {0};
    connect();
    uint32_t length = 2 + 2u * device.policy->spec.n_obs;
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask(EC_TRACKS_STEP, entry, length));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_TRACKS, entry, 3));
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_tracks(256));
    uint32_t most = detail();
    CHECK(most > 0 && most < 20);
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_tracks(most + 1));
    CHECK_EQUAL(EC_OK, ask_tracks(most));
    CHECK_EQUAL(EC_OK, ask_tracks(2));
    CHECK_EQUAL(EC_OK, ask_tracks_step(first, 1, 3, 1));
    uint32_t digest = ec_get32(told_of(0));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_tracks_step(beyond, 2, 2, 1));
    CHECK_EQUAL(EC_REFUSED_ARGUMENT, ask_tracks_step(first, 1, 4, 1));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_TRACKS_STEP, entry, 0));
    CHECK_EQUAL(EC_REFUSED_LENGTH, ask(EC_TRACKS_STEP, entry, length - 1));
    CHECK_EQUAL(length, detail());
    CHECK_EQUAL(EC_OK, ask_tracks_step(first, 1, 0, 2));
    CHECK_EQUAL(digest, ec_get32(told_of(0)));
    CHECK_EQUAL(EC_REFUSED_CAPACITY, ask_tracks_step(many, MAX_PAYLOAD / length, 0, 2)); /* of the reply */
    most = detail();
    CHECK_EQUAL((MAX_PAYLOAD - 8) / (6 + 2 * device.policy->spec.n_act), most);
    CHECK_EQUAL(EC_OK, ask_tracks_step(many, most, 0, 2));
}

static void test_tracks_end_where_others_need_their_memory(void)
{
    uint8_t evolve[16] = {0};
    connect();
    CHECK_EQUAL(EC_OK, upload(&builtin));
    CHECK_EQUAL(EC_OK, ask_tracks(1));
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    CHECK_EQUAL(0, device.tracks);
    CHECK_EQUAL(EC_OK, ask_tracks(1));
    evolve[8] = 1;
    evolve[12] = 2;
    evolve[14] = 200;
    CHECK_EQUAL(EC_OK, ask(EC_EVOLVE, evolve, sizeof evolve));
    CHECK_EQUAL(0, device.tracks);
    CHECK_EQUAL(EC_REFUSED_IMAGE, ask_tracks(1));
    CHECK_EQUAL(EC_OK, ask_begin(100));
    CHECK_EQUAL(0, device.tracks);
    CHECK_EQUAL(EC_REFUSED_OFFSET, ask_tracks(1));
}
