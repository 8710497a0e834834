/* Policy images that mean harm: opened, laid out, and run as far as a small device would.
 *
 *     | repairs u8 | image |
 *
 * Each bit of `repairs` makes one thing right that chance hardly meets. tests/fuzzing.py builds and runs
 * it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ec_crc.h"
#include "ec_net.h"

enum { REPAIR_HEAD = 1, REPAIR_SIZE = 2, REPAIR_CRC = 4 };

/* The device runs no more than this; what is larger it only opens. */
#define MAX_OBS     12
#define MAX_ACT     4
#define MAX_NEURONS 64

#define CHECK(claim)                                                   \
    do {                                                               \
        if (!(claim)) {                                                \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #claim); \
            abort();                                                   \
        }                                                              \
    } while (0)

/* The image in memory of its own size, so that a byte read behind it is seen. */
static uint8_t *repaired(uint8_t repairs, const uint8_t *data, uint32_t *size)
{
    uint8_t head[EC_IMAGE_HEADER] = {0};
    memcpy(head, data, *size < sizeof head ? *size : sizeof head);
    if (repairs & REPAIR_HEAD) {
        ec_put32(head, EC_IMAGE_MAGIC);
        ec_put16(head + 4, EC_IMAGE_VERSION);
        ec_put16(head + 6, EC_IMAGE_HEADER);
        head[29] = 0;
        ec_put32(head + 44, 0);
    }
    uint32_t wanted = *size;
    if (repairs & REPAIR_SIZE) {
        ec_spec spec = {.n_obs = ec_get16(head + 12), .n_act = ec_get16(head + 14), .n_neurons = ec_get16(head + 16)};
        if (spec.n_obs <= MAX_OBS && spec.n_act <= MAX_ACT && spec.n_neurons <= MAX_NEURONS)
            wanted = ec_policy_image_size(&spec);
        ec_put32(head + 8, wanted);
    }
    uint8_t *image = calloc(1, wanted > 0 ? wanted : 1);
    memcpy(image, data, *size < wanted ? *size : wanted);
    memcpy(image, head, wanted < sizeof head ? wanted : sizeof head);
    if ((repairs & REPAIR_CRC) && wanted >= sizeof head + 4)
        ec_put32(image + wanted - 4, ec_crc32(0, image, wanted - 4));
    *size = wanted;
    return image;
}

static void check_policy(const ec_policy *policy, const uint8_t *image, uint32_t size)
{
    const ec_spec *spec = &policy->spec;
    uint32_t words = spec->n_neurons / 32u;
    CHECK(ec_spec_check(spec) == 0);
    CHECK(policy->image_size == ec_policy_image_size(spec) && policy->image_size <= size);
    CHECK(policy->golden_steps <= EC_GOLDEN_STEPS_MOST);
    CHECK(policy->hash >= image && policy->hash + EC_HASH_SIZE <= image + size);
    CHECK((const uint8_t *)policy->map == image + EC_IMAGE_HEADER);
    CHECK(policy->w_in == (const uint32_t *)(const void *)(policy->map + spec->n_obs));
    CHECK((const uint8_t *)(policy->w_out + spec->n_act * words) + 4 == image + policy->image_size);
}

static void run_network(const ec_policy *policy)
{
    const ec_spec *spec = &policy->spec;
    uint32_t room = ec_net_memory(spec);
    void *memory = malloc(room); /* whatever lay there before */
    memset(memory, 0xA5, room);
    ec_net net;
    CHECK(ec_net_init(&net, policy, memory, room - 1) == EC_ERR_CAPACITY);
    CHECK(ec_net_init(&net, policy, memory, room) == 0);
    uint32_t rested = ec_net_digest(&net, 0);
    if (spec->n_obs <= MAX_OBS && spec->n_act <= MAX_ACT && spec->n_neurons <= MAX_NEURONS) {
        int16_t *raw = malloc(2u * spec->n_obs);
        uint32_t crc, again;
        int error = ec_net_golden(&net, raw, &crc);
        CHECK(error == 0 || error == EC_ERR_GOLDEN);
        CHECK((error == 0) == (policy->golden_steps > 0 && crc == policy->golden_crc));
        CHECK(ec_net_digest(&net, 0) == rested);
        CHECK(ec_net_golden(&net, raw, &again) == error && crc == again);
        free(raw);
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length == 0)
        return 0;
    uint32_t size = (uint32_t)length - 1;
    uint8_t *image = repaired(data[0], data + 1, &size);
    ec_policy policy, untouched;
    memset(&policy, 0x5A, sizeof policy);
    memset(&untouched, 0x5A, sizeof untouched);
    int error = ec_policy_open(&policy, image, size);
    CHECK(error <= 0 && error >= EC_ERR_CRC && error != EC_ERR_ARGUMENT);
    if (error != 0) {
        CHECK(memcmp(&policy, &untouched, sizeof policy) == 0);
    } else {
        check_policy(&policy, image, size);
        run_network(&policy);
    }
    free(image);
    return 0;
}
