#include "ec_handler.h"

/* A policy that evolves, by requests: docs/LINK.md, "Evolution on the device". */

uint32_t ec_device_refuse_evolution(const ec_device *device, uint8_t *reply)
{
    if (device->config->learner->population == 0)
        return refuse(reply, EC_REFUSED_IMAGE, EC_IMAGE_STAYS);
    if (device->config->learner->learned > 0)
        return refuse(reply, EC_REFUSED_OFFSET, device->config->learner->learned);
    return 0;
}

static uint32_t evolve(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    if (length != 16)
        return refuse(reply, EC_REFUSED_LENGTH, 16);
    uint16_t population = ec_get16(request + 12);
    uint8_t one = request[14];
    if (population < EC_POPULATION_LEAST || population > EC_POPULATION_MOST || one == 0 || request[15] != 0)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (device->policy != &device->uploaded)
        return refuse(reply, EC_REFUSED_IMAGE, 0);
    ec_device_rest(device);
    ec_learner *learner = device->config->learner;
    if (ec_learn_begin(learner, device->policy, config->policy_ram, config->policy_ram_size, population,
                       one) != 0)
        return refuse(reply, EC_REFUSED_CAPACITY, config->policy_ram_size);
    learner->evolve.seed = ec_get32(request);
    learner->evolve.generation = ec_get32(request + 4);
    learner->evolve.step = ec_get32(request + 8);
    length = accept_mode(device, reply, 8);
    ec_put32(reply + 4, ec_learn_drop_records(learner));
    return length;
}

/* Refusal of a number that can't be drawn now: 0, or the reply's length. */
static uint32_t refuse_member(const ec_device *device, uint32_t member, uint8_t *reply)
{
    uint32_t refusal = ec_device_refuse_evolution(device, reply);
    if (refusal == 0 && member >= device->config->learner->population && member != EC_MEMBER_DECIDED)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    return refusal;
}

/* Refusal where there is no room for a confirmed policy: 0, or the reply's length. */
static uint32_t refuse_unconfirmed(const ec_device *device, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    return config->learner->confirmed ? 0 : refuse(reply, EC_REFUSED_CAPACITY, config->policy_ram_size);
}

static uint32_t draw_member(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    if (length != 4 && length != 12)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    ec_learner *learner = config->learner;
    uint32_t member = ec_get32(request);
    bool confirmed = member == EC_MEMBER_CONFIRMED && learner->population > 0;
    uint32_t refusal = confirmed ? refuse_unconfirmed(device, reply) : refuse_member(device, member, reply);
    if (refusal > 0)
        return refusal;
    ec_device_rest(device);
    ec_learn_draw(learner, member);
    (void)ec_net_init(&device->net, device->policy, config->net_memory, config->net_memory_size);
    return length == 4 ? accept_mode(device, reply, 2) : ec_device_reset(device, request + 4, length - 4, reply);
}

static uint32_t confirm(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    ec_learner *learner = device->config->learner;
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    uint32_t member = ec_get32(request);
    uint32_t refusal = refuse_member(device, member, reply);
    if (refusal == 0)
        refusal = refuse_unconfirmed(device, reply);
    if (refusal > 0)
        return refusal;
    ec_learn_confirm(learner, member);
    return accept_mode(device, reply, 2);
}

static uint32_t take_ranks(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length < 6 || length % 2 != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    uint32_t first = ec_get32(request);
    uint32_t count = (length - 4) / 2;
    if (device->mode == EC_MODE_PRACTICE) /* it ranks by itself */
        return refuse(reply, EC_REFUSED_MODE, EC_MODE_PRACTICE);
    uint32_t refusal = ec_device_refuse_evolution(device, reply);
    if (refusal > 0)
        return refusal;
    uint32_t population = device->config->learner->population;
    if (first >= population || count > population - first)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    ec_learn_rank(device->config->learner, first, request + 4, count);
    device->config->learner->practice.phase = EC_PHASE_DRAW; /* what it had ranked by itself is void */
    return accept_mode(device, reply, 2);
}

static uint32_t learn(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    ec_learner *learner = device->config->learner;
    if (length != 12)
        return refuse(reply, EC_REFUSED_LENGTH, 12);
    uint32_t count = ec_get32(request + 8);
    if (learner->population == 0)
        return refuse(reply, EC_REFUSED_IMAGE, EC_IMAGE_STAYS);
    if (ec_get32(request) != learner->evolve.generation || count == 0)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (ec_get32(request + 4) != learner->learned)
        return refuse(reply, EC_REFUSED_OFFSET, learner->learned);
    ec_device_rest(device);
    ec_learn_move(learner, count);
    length = accept_mode(device, reply, 16);
    ec_put32(reply + 4, learner->evolve.generation);
    ec_put32(reply + 8, learner->learned);
    if (learner->learned == 0)
        ec_put32(reply + 12, ec_learn_drop_records(learner));
    return length;
}

static bool within_rho(const ec_device *device, uint32_t offset, uint32_t count)
{
    uint32_t size = (uint32_t)sizeof(ec_rho) * device->config->learner->evolve.n_words;
    return offset <= size && count <= size - offset;
}

static uint32_t tell_rho(const ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length != 6)
        return refuse(reply, EC_REFUSED_LENGTH, 6);
    uint32_t offset = ec_get32(request);
    uint32_t count = ec_get16(request + 4);
    uint32_t refusal = ec_device_refuse_evolution(device, reply);
    if (refusal > 0)
        return refusal;
    if (count > device->config->max_payload - 4u || !within_rho(device, offset, count))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    clear(reply, 4);
    copy(reply + 4, (const uint8_t *)device->config->learner->evolve.rho + offset, count);
    return 4 + count;
}

static uint32_t put_rho(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length < 4)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    uint32_t offset = ec_get32(request);
    uint32_t count = length - 4;
    uint32_t refusal = ec_device_refuse_evolution(device, reply);
    if (refusal > 0)
        return refusal;
    if (!within_rho(device, offset, count))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    ec_device_rest(device);
    copy((uint8_t *)device->config->learner->evolve.rho + offset, request + 4, count);
    length = accept_mode(device, reply, 8);
    ec_put32(reply + 4, ec_learn_drop_records(device->config->learner));
    return length;
}

uint32_t ec_device_evolve(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply)
{
    if (!packet)
        return ec_device_practise(device);
    const uint8_t *request = packet + EC_PACKET_HEADER;
    switch (packet[0]) {
    case EC_EVOLVE:
        return evolve(device, request, length, reply);
    case EC_MEMBER:
        return draw_member(device, request, length, reply);
    case EC_RANKS:
        return take_ranks(device, request, length, reply);
    case EC_LEARN:
        return learn(device, request, length, reply);
    case EC_RHO:
        return tell_rho(device, request, length, reply);
    case EC_PRACTICE:
        return ec_device_practice(device, request, length, reply);
    case EC_PROGRESS:
        return ec_device_progress(device, length, reply);
    case EC_RECORD:
        return ec_device_record(device, request, length, reply);
    case EC_CONFIRM:
        return confirm(device, request, length, reply);
    case EC_SNAPSHOT:
        return ec_device_snapshot(device, request, length, reply);
    default:
        return put_rho(device, request, length, reply);
    }
}
