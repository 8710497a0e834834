#include "ec_handler.h"

/* Networks of the policy in use that drive no plant: docs/LINK.md, "Tracks". */

#define ENTRY       2u /* of a request, before the counts: number of the track, flags */
#define REPLY_HEAD  8u
#define REPLY_ENTRY 6u /* of a reply, before the outputs: digest, spikes */
#define MOST        255u
#define BEGINS      1u
#define DIGESTS     2u

/*   memory for uploads
 *   | image, if one is there | track 0 | track 1 | ... | their networks' memories |
 */
typedef struct {
    ec_net net;
    uint32_t digest;
} ec_track;

static uint32_t padded(uintptr_t address)
{
    struct aligned {
        char byte;
        ec_track track;
    };
    uint32_t over = (uint32_t)(address % offsetof(struct aligned, track));
    return over ? (uint32_t)offsetof(struct aligned, track) - over : 0;
}

/* Where tracks may lie; tells the bytes from there on. */
static ec_track *tracks_of(const ec_device *device, uint32_t *size)
{
    const ec_device_config *config = device->config;
    uint8_t *begin = config->policy_ram;
    bool image = device->policy == &device->uploaded || config->load;
    uint32_t taken = image ? device->policy->image_size : 0;
    taken += padded((uintptr_t)(begin + taken));
    *size = taken < config->policy_ram_size ? config->policy_ram_size - taken : 0;
    return (ec_track *)(void *)(begin + taken);
}

static uint32_t begin_tracks(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    if (!device->policy || (device->config->learner && device->config->learner->population > 0))
        return refuse(reply, EC_REFUSED_IMAGE, 0);
    if (device->upload.size > 0)
        return refuse(reply, EC_REFUSED_OFFSET, device->upload.received);
    uint32_t count = ec_get32(request);
    uint32_t size;
    ec_track *tracks = tracks_of(device, &size);
    uint32_t memory = ec_net_memory(&device->policy->spec);
    uint32_t most = size / ((uint32_t)sizeof(ec_track) + memory);
    most = most < MOST ? most : MOST;
    if (count > most)
        return refuse(reply, EC_REFUSED_CAPACITY, most);
    ec_device_rest(device);
    uint8_t *block = (uint8_t *)(tracks + count);
    device->tracks = (uint8_t)count;
    for (unsigned i = 0; i < device->tracks; i++, block += memory) {
        (void)ec_net_init(&tracks[i].net, device->policy, block, memory);
        tracks[i].digest = 0;
    }
    return accept_mode(device, reply, 2);
}

/* One control step; what came of it goes to the reply. */
static void step_track(const ec_device *device, ec_track *track, uint8_t flags, const uint8_t *counts, uint8_t *reply)
{
    const ec_spec *spec = &device->policy->spec;
    int16_t *raw = device->config->raw;
    get_values(raw, counts, spec->n_obs);
    if (flags & BEGINS) {
        ec_net_reset(&track->net);
        track->digest = 0;
    }
    ec_net_step(&track->net, raw);
    if (flags & DIGESTS)
        track->digest = ec_net_digest(&track->net, track->digest);
    ec_put32(reply, track->digest);
    ec_put16(reply + 4, told_spikes(&track->net));
    put_values(reply + REPLY_ENTRY, track->net.output, spec->n_act);
}

static uint32_t step_tracks(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    if (device->tracks == 0)
        return refuse(reply, EC_REFUSED_IMAGE, 0);
    unsigned entry = ENTRY + 2u * device->policy->spec.n_obs;
    unsigned reply_entry = REPLY_ENTRY + 2u * device->policy->spec.n_act;
    unsigned count = (unsigned)length / entry; /* max_payload is 65535 at most */
    unsigned most = (EC_REPLY_PAYLOAD(config->max_payload, config->max_act) - REPLY_HEAD) / reply_entry;
    if (count == 0 || count * entry != length)
        return refuse(reply, EC_REFUSED_LENGTH, entry);
    if (count > most)
        return refuse(reply, EC_REFUSED_CAPACITY, most);
    const uint8_t *asked = request;
    for (unsigned i = 0; i < count; i++, asked += entry) { /* all are found good before one steps */
        if (asked[0] >= device->tracks || asked[1] > (BEGINS | DIGESTS))
            return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    }
    uint32_t size;
    ec_track *tracks = tracks_of(device, &size);
    length = accept_mode(device, reply, REPLY_HEAD + count * reply_entry);
    uint32_t start = config->ticks();
    uint8_t *told = reply + REPLY_HEAD;
    asked = request;
    for (unsigned i = 0; i < count; i++, asked += entry, told += reply_entry)
        step_track(device, &tracks[asked[0]], asked[1], asked + ENTRY, told);
    ec_put32(reply + 4, config->ticks() - start);
    return length;
}

uint32_t ec_device_tracks(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply)
{
    const uint8_t *request = packet + EC_PACKET_HEADER;
    if (packet[0] == EC_TRACKS)
        return begin_tracks(device, request, length, reply);
    return step_tracks(device, request, length, reply);
}
