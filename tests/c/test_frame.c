/* Frames, and what hostile bytes must leave alone: docs/LINK.md section 1.
 */
#include "harness.h"

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
