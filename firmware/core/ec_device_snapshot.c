#include "ec_handler.h"

#include "ec_crc.h"

/* What a device has learned, in its flash: docs/LINK.md, SNAPSHOT. The payload:
 *
 *     | numbers, SIZE bytes | policy RAM: image, probabilities, ranks, confirmed synapses, records |
 */

#define SIZE 44u

enum { TELL, SAVE, LOAD };
enum { NO_FLASH, NO_SNAPSHOT, NO_ROOM, NOT_WRITTEN };

static void put_numbers(const ec_device *device, uint8_t *numbers)
{
    const ec_learner *learner = device->config->learner;
    ec_put32(numbers, device->config->firmware_version);
    ec_put32(numbers + 4, learner->evolve.generation);
    ec_put32(numbers + 8, learner->evolve.seed);
    ec_put32(numbers + 12, learner->evolve.step);
    ec_put32(numbers + 16, learner->population);
    ec_put32(numbers + 20, learner->practice.first_record);
    ec_put32(numbers + 24, learner->practice.first_hash);
    ec_put32(numbers + 28, device->policy->image_size);
    ec_put32(numbers + 32, device->config->policy_ram_size);
    ec_put32(numbers + 36, learner->practice.terms.first_seed);
    ec_put32(numbers + 40, learner->practice.terms.most_steps);
}

/* Of a generation that is not half learned. NO_ROOM, NOT_WRITTEN, or 0. */
uint32_t ec_device_save(const ec_device *device)
{
    const ec_device_config *config = device->config;
    uint8_t numbers[SIZE];
    uint32_t used = ec_learn_used(config->learner, config->policy_ram);
    if (SIZE + used > ec_snapshot_room(config->flash))
        return NO_ROOM;
    put_numbers(device, numbers);
    return ec_snapshot_save(config->flash, numbers, SIZE, config->policy_ram, used) ? 0 : NOT_WRITTEN;
}

/* Whether numbers that were saved are of this firmware: RAM is laid out alike then. */
static bool are_ours(const ec_device_config *config, const uint8_t *numbers, uint32_t size)
{
    uint32_t image_size = ec_get32(numbers + 28);
    return ec_get32(numbers) == config->firmware_version && ec_get32(numbers + 32) == config->policy_ram_size &&
           size - SIZE <= config->policy_ram_size && image_size >= EC_IMAGE_HEADER && image_size <= size - SIZE;
}

/* The newest one that this firmware can take, and its numbers; its sequence is 0 where there is none. */
static ec_snapshot find(const ec_device_config *config, uint8_t *numbers)
{
    ec_snapshot found = ec_snapshot_find(config->flash);
    if (found.sequence == 0 || found.size < SIZE)
        return (ec_snapshot){0};
    config->flash->read(found.offset, numbers, SIZE);
    return are_ours(config, numbers, found.size) ? found : (ec_snapshot){0};
}

/* The image is whole as it was saved, with whatever member lay in it: its CRC alone is made anew. What
 * proved itself when it was uploaded is not proven again. */
static bool load(ec_device *device, ec_snapshot found, const uint8_t *numbers)
{
    const ec_device_config *config = device->config;
    ec_learner *learner = config->learner;
    uint8_t *image = config->policy_ram;
    uint32_t image_size = ec_get32(numbers + 28);
    ec_device_leave_ram(device);
    config->flash->read(found.offset + SIZE, image, found.size - SIZE);
    ec_put32(image + image_size - 4, ec_crc32(0, image, image_size - 4));
    if (ec_device_adopt(device, image_size) != 0)
        return false;
    if (ec_learn_go_on(learner, device->policy, image, config->policy_ram_size,
                       (uint16_t)ec_get32(numbers + 16)) != 0)
        return false;
    learner->evolve.generation = ec_get32(numbers + 4);
    learner->evolve.seed = ec_get32(numbers + 8);
    learner->evolve.step = ec_get32(numbers + 12);
    learner->practice.first_record = ec_get32(numbers + 20);
    learner->practice.first_hash = ec_get32(numbers + 24);
    learner->practice.terms.first_seed = ec_get32(numbers + 36);
    learner->practice.terms.most_steps = ec_get32(numbers + 40);
    return true;
}

uint32_t ec_device_snapshot(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    uint8_t numbers[SIZE] = {0};
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    uint32_t verb = ec_get32(request);
    if (verb > LOAD)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (!config->flash)
        return refuse(reply, EC_REFUSED_FLASH, NO_FLASH);
    if (verb == SAVE) {
        uint32_t refusal = ec_device_refuse_evolution(device, reply);
        if (refusal > 0)
            return refusal;
        ec_device_rest(device);
        uint32_t failure = ec_device_save(device);
        if (failure > 0)
            return refuse(reply, EC_REFUSED_FLASH, failure);
    }
    if (verb == LOAD)
        ec_device_rest(device); /* the plant is safe while both areas are read */
    ec_snapshot found = find(config, numbers);
    if (verb == LOAD && (found.sequence == 0 || !load(device, found, numbers)))
        return refuse(reply, EC_REFUSED_FLASH, NO_SNAPSHOT);
    length = accept_mode(device, reply, 20);
    ec_put32(reply + 4, found.sequence);
    ec_put32(reply + 8, found.size);
    ec_put32(reply + 12, ec_get32(numbers + 4));
    ec_put32(reply + 16, ec_snapshot_room(config->flash));
    return length;
}
