#include "ec_handler.h"

/* As much as fits; zeros stand there already. */
static void put_name(uint8_t *p, const char *name, unsigned most)
{
    for (unsigned i = 0; i < most && name[i]; i++)
        p[i] = (uint8_t)name[i];
}

static unsigned outputs_of(const ec_device *device)
{
    return device->policy ? device->policy->spec.n_act : 0u;
}

/* ---- modes and policies ---- */

void ec_device_make_safe(const ec_device *device)
{
    const ec_device_config *config = device->config;
    unsigned n = outputs_of(device);
    for (unsigned a = 0; a < n; a++)
        config->outputs[a] = 0;
    config->rig.safe(config->rig.context, config->outputs, n);
}

/* Every mode begins with the safe action; in RUN, CLOCKED, HOSTED and PRACTICE a step ends it. */
void ec_device_enter(ec_device *device, uint8_t mode)
{
    ec_learner *learner = device->config->learner;
    ec_episode_stop(&device->episode, EC_END_STOPPED);
    if (learner)
        ec_practice_stop(&learner->practice, mode == EC_MODE_SAFE ? EC_PRACTICE_SILENCE : EC_PRACTICE_STOPPED);
    device->mode = mode;
    ec_device_make_safe(device);
}

/* To where the device waits for an episode: FAULT if all it has is a built-in policy that is wrong. */
void ec_device_rest(ec_device *device)
{
    bool fault = !device->policy && !device->builtin_good && device->config->builtin_size > 0;
    device->tracks = 0; /* who comes to rest may use their memory next */
    ec_device_enter(device, fault ? EC_MODE_FAULT : EC_MODE_IDLE);
}

/* The limit that the network exceeds, or 0. */
static uint32_t exceeded_limit(const ec_device_config *config, const ec_spec *spec)
{
    if (spec->n_obs > config->max_obs)
        return config->max_obs;
    if (spec->n_act > config->max_act)
        return config->max_act;
    if (spec->n_neurons > config->max_neurons)
        return config->max_neurons;
    return 0;
}

/* Lays the network out and runs its golden trace: EC_OK, or the refusal and its detail. */
static uint8_t prove(ec_device *device, const ec_policy *policy, uint32_t *detail)
{
    const ec_device_config *config = device->config;
    *detail = exceeded_limit(config, &policy->spec);
    if (*detail != 0 ||
        ec_net_init(&device->net, policy, config->net_memory, config->net_memory_size) != 0)
        return EC_REFUSED_CAPACITY;
    return ec_net_golden(&device->net, config->raw, detail) == 0 ? EC_OK : EC_REFUSED_GOLDEN;
}

static void use(ec_device *device, const ec_policy *policy)
{
    device->policy = policy;
    if (device->config->learner)
        device->config->learner->population = 0;
    device->statistics = (ec_step_statistics){0};
    ec_device_rest(device);
}

/* Where the built-in image can be read. */
static const void *builtin_image(const ec_device_config *config)
{
    if (!config->load)
        return config->builtin;
    config->load(config->policy_ram);
    return config->policy_ram;
}

static void use_builtin(ec_device *device)
{
    const ec_device_config *config = device->config;
    if (device->builtin_good) {
        (void)builtin_image(config);
        (void)ec_net_init(&device->net, &device->builtin, config->net_memory, config->net_memory_size);
    }
    use(device, device->builtin_good ? &device->builtin : NULL);
}

void ec_device_leave_ram(ec_device *device)
{
    ec_upload_end(&device->upload);
    use_builtin(device);
}

int ec_device_adopt(ec_device *device, uint32_t size)
{
    const ec_device_config *config = device->config;
    int error = ec_policy_open(&device->uploaded, config->policy_ram, size);
    if (error == 0 && exceeded_limit(config, &device->uploaded.spec) != 0)
        error = EC_ERR_CAPACITY;
    if (error == 0)
        error = ec_net_init(&device->net, &device->uploaded, config->net_memory, config->net_memory_size);
    if (error == 0)
        use(device, &device->uploaded);
    else
        use_builtin(device);
    return error;
}

static uint8_t policy_source(const ec_device *device)
{
    if (!device->policy)
        return EC_SOURCE_NONE;
    if (device->policy == &device->builtin)
        return EC_SOURCE_BUILTIN;
    const ec_learner *learner = device->config->learner;
    return learner && learner->population ? EC_SOURCE_EVOLVING : EC_SOURCE_RAM;
}

/* ---- messages ---- */

static uint32_t hello(const ec_device *device, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    uint32_t length = accept_mode(device, reply, 80);
    ec_put16(reply + 2, EC_LINK_VERSION);
    ec_put16(reply + 4, EC_IMAGE_VERSION);
    ec_put16(reply + 6, config->max_payload);
    ec_put32(reply + 8, config->firmware_version);
    ec_put32(reply + 12, config->boot_count);
    reply[16] = config->reset_cause;
    reply[17] = policy_source(device);
    if (device->policy) {
        ec_put16(reply + 18, device->policy->spec.n_obs);
        ec_put16(reply + 20, device->policy->spec.n_act);
        ec_put16(reply + 22, device->policy->spec.n_neurons);
        if (reply[17] != EC_SOURCE_EVOLVING)
            copy(reply + 24, device->policy->hash, EC_HASH_SIZE);
    }
    ec_put32(reply + 32, config->tick_hz);
    ec_put32(reply + 36, config->policy_ram_size);
    ec_put16(reply + 40, config->max_obs);
    ec_put16(reply + 42, config->max_act);
    ec_put16(reply + 44, config->max_neurons);
    put_name(reply + 48, config->board, EC_BOARD_NAME_SIZE);
    copy(reply + 64, config->chip_id, EC_CHIP_ID_SIZE);
    return length;
}

uint32_t ec_device_reset(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length != 8)
        return refuse(reply, EC_REFUSED_LENGTH, 8);
    uint32_t flags = ec_get32(request);
    uint32_t silence_ms = ec_get32(request + 4);
    if (silence_ms == 0)
        silence_ms = EC_SILENCE_MS;
    if (flags > 1 || !is_silence(silence_ms))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (device->mode == EC_MODE_FAULT)
        return refuse(reply, EC_REFUSED_MODE, EC_MODE_FAULT);
    if (!device->policy)
        return refuse(reply, EC_REFUSED_IMAGE, 0);

    ec_net_reset(&device->net);
    device->digesting = flags == 1;
    device->digest = 0;
    device->silence_ms = silence_ms;
    ec_device_enter(device, EC_MODE_RUN);
    return accept_mode(device, reply, 2);
}

static uint32_t result(const ec_device *device, uint32_t length, uint8_t *reply)
{
    const char *plant = device->config->rig.plant;
    if (length != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    if (!plant)
        return refuse(reply, EC_REFUSED_PLANT, 0);
    length = accept_mode(device, reply, EC_EPISODE_SIZE + EC_PLANT_NAME_SIZE);
    ec_episode_put(&device->episode, reply);
    put_name(reply + EC_EPISODE_SIZE, plant, EC_PLANT_NAME_SIZE);
    return length;
}

/* What the plant bears at an output, whatever a host says. */
static void set_hard_limit(const ec_rig *rig, unsigned output, ec_limit *limit)
{
    *limit = (ec_limit)EC_LIMIT_NONE;
    if (rig->limit)
        rig->limit(rig->context, output, limit);
}

/* Applies the network's outputs to the plant as far as limits let them, and counts those changed. */
static void apply_outputs(ec_device *device)
{
    const ec_device_config *config = device->config;
    const int16_t *wanted = device->net.output;
    int16_t *outputs = config->outputs;
    unsigned n = device->policy->spec.n_act;
    for (unsigned a = 0; a < n; a++)
        outputs[a] = ec_limit_output(&config->limits[a], wanted[a], outputs[a]);
    config->rig.apply(config->rig.context, outputs, n);
    unsigned clamps = 0;
    for (unsigned a = 0; a < n; a++)
        clamps += outputs[a] != wanted[a];
    device->statistics.clamps += clamps;
    if (device->episode.end == EC_END_RUNS)
        device->episode.clamps += clamps;
}

static void count_step(ec_step_statistics *statistics, uint32_t ticks)
{
    if (statistics->steps == 0 || ticks < statistics->least_ticks)
        statistics->least_ticks = ticks;
    if (ticks > statistics->most_ticks)
        statistics->most_ticks = ticks;
    statistics->sum_ticks += ticks;
    statistics->steps++;
}

/* One control step of the network, from config->raw to the plant. The ticks that the network took. */
static uint32_t control(ec_device *device)
{
    const ec_device_config *config = device->config;
    uint32_t start = config->ticks();
    ec_net_step(&device->net, config->raw);
    uint32_t ticks = config->ticks() - start;

    /* The plant first: the rest may wait. */
    apply_outputs(device);
    count_step(&device->statistics, ticks);
    return ticks;
}

static uint32_t step(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    ec_net *net = &device->net;
    if (device->mode != EC_MODE_RUN)
        return refuse(reply, EC_REFUSED_MODE, device->mode);
    unsigned n_obs = device->policy->spec.n_obs;
    unsigned n_act = device->policy->spec.n_act;
    if (length != 2 * n_obs)
        return refuse(reply, EC_REFUSED_LENGTH, 2 * n_obs);
    get_values(config->raw, request, n_obs);

    uint32_t ticks = control(device);
    if (device->digesting)
        device->digest = ec_net_digest(net, device->digest);
    length = accept_mode(device, reply, 12 + 2 * n_act);
    ec_put16(reply + 2, told_spikes(net));
    ec_put32(reply + 4, ticks);
    ec_put32(reply + 8, device->digest);
    put_values(reply + 12, net->output, n_act);
    return length;
}

static void sense_plant(ec_device *device)
{
    const ec_device_config *config = device->config;
    ec_episode_start_step(&device->episode, config->ticks());
    config->rig.sense(config->rig.context, config->raw, device->policy->spec.n_obs);
}

/* What came of the outputs that were applied at that tick. */
static void judge_plant(ec_device *device, uint32_t applied)
{
    const ec_device_config *config = device->config;
    ec_episode *episode = &device->episode;
    int32_t reward = 0;
    ec_episode_trace(episode, config->raw, device->policy->spec.n_obs);
    ec_episode_trace(episode, config->outputs, device->policy->spec.n_act);
    uint8_t verdict = config->rig.judge(config->rig.context, &reward);
    if (verdict != EC_PLANT_GOES_ON)
        ec_episode_stop(episode, verdict == EC_PLANT_ENDED ? EC_END_DONE : EC_END_FAULT);
    ec_episode_finish_step(episode, applied, reward);
}

/* To rest or to safety if the episode's last step was taken. */
static void leave_ended(ec_device *device)
{
    if (device->episode.end != EC_END_RUNS)
        ec_device_enter(device, device->episode.end == EC_END_FAULT ? EC_MODE_SAFE : EC_MODE_IDLE);
}

/* Of what a host acts by: the episode so far, what is applied, what the plant shows. */
static uint32_t observation_size(const ec_device *device)
{
    return EC_EPISODE_SIZE + 2u * device->policy->spec.n_act + 2u * device->policy->spec.n_obs;
}

static uint32_t observe(ec_device *device, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    unsigned n_act = device->policy->spec.n_act;
    sense_plant(device);
    ec_episode_put(&device->episode, reply);
    put_values(reply + EC_EPISODE_SIZE, config->outputs, n_act);
    put_values(reply + EC_EPISODE_SIZE + 2u * n_act, config->raw, device->policy->spec.n_obs);
    leave_ended(device);
    reply[0] = EC_OK;
    reply[1] = device->mode;
    return observation_size(device);
}

/* An episode on the device's own plant, in which the network acts by the clock, or the host. */
static uint32_t begin_episode(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    const ec_rig *rig = &config->rig;
    bool hosted = config->request[0] == EC_BEGIN;
    if (length != 16)
        return refuse(reply, EC_REFUSED_LENGTH, 16);
    uint32_t most = ec_get32(request + 4);
    uint32_t period = ec_get32(request + 8);
    uint32_t silence_ms = ec_get32(request + 12);
    if (most == 0 || period > (hosted ? config->tick_hz : EC_PERIOD_MOST) ||
        !(is_silence(silence_ms) || (silence_ms == 0 && !hosted)))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (!rig->plant)
        return refuse(reply, EC_REFUSED_PLANT, 0);
    if (device->mode == EC_MODE_FAULT)
        return refuse(reply, EC_REFUSED_MODE, EC_MODE_FAULT);
    if (!device->policy)
        return refuse(reply, EC_REFUSED_IMAGE, 0);
    if (hosted && observation_size(device) > config->max_payload)
        return refuse(reply, EC_REFUSED_CAPACITY, config->max_payload);

    ec_device_rest(device);
    uint32_t reason = rig->begin(rig->context, device->policy, ec_get32(request));
    if (reason != 0)
        return refuse(reply, EC_REFUSED_PLANT, reason);
    ec_net_reset(&device->net);
    device->silence_ms = silence_ms;
    ec_device_enter(device, hosted ? EC_MODE_HOSTED : EC_MODE_CLOCKED);
    ec_episode_begin(&device->episode, most, period, config->ticks());
    return hosted ? observe(device, reply) : accept_mode(device, reply, 2);
}

/* A step in which the host stands in the network's place: it gives the outputs. */
static uint32_t act(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    ec_episode *episode = &device->episode;
    if (device->mode != EC_MODE_HOSTED)
        return refuse(reply, EC_REFUSED_MODE, device->mode);
    unsigned n_act = device->policy->spec.n_act;
    if (length != 2 * n_act)
        return refuse(reply, EC_REFUSED_LENGTH, 2 * n_act);
    for (unsigned a = 0; a < n_act; a++)
        device->net.output[a] = (int16_t)ec_signed16(ec_get16(request + 2 * a));

    apply_outputs(device);
    uint32_t applied = config->ticks();
    while (config->ticks() - episode->due < episode->period)
        ; /* the plant answers meanwhile */
    judge_plant(device, applied);
    return observe(device, reply);
}

static uint32_t upload_begin(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    uint32_t size = ec_get32(request);
    if (size == 0)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (size > device->config->policy_ram_size)
        return refuse(reply, EC_REFUSED_CAPACITY, device->config->policy_ram_size);
    use_builtin(device);
    ec_upload_begin(&device->upload, size, 0, 0);
    return accept_mode(device, reply, 2);
}

static void put_image(ec_device *device, uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    if (device->config->load)
        device->policy = NULL; /* it lies where the data go */
    ec_device_rest(device);
    copy((uint8_t *)device->config->policy_ram + offset, bytes, length);
}

static uint32_t upload_data(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    ec_upload *upload = &device->upload;
    if (length < 4)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    if (upload->size == 0 || upload->block != 0)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    uint32_t received = upload->received;
    if (ec_get32(request) != received)
        return refuse(reply, EC_REFUSED_OFFSET, received);
    length -= 4;
    if (length > upload->size - received)
        return refuse(reply, EC_REFUSED_LENGTH, 4 + upload->size - received);
    put_image(device, received, request + 4, length);
    upload->received += length;
    length = accept(reply, 8);
    ec_put32(reply + 4, upload->received);
    return length;
}

static uint32_t upload_open(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    ec_upload *upload = &device->upload;
    if (length != 12)
        return refuse(reply, EC_REFUSED_LENGTH, 12);
    uint32_t size = ec_get32(request);
    uint32_t name = ec_get32(request + 4);
    uint32_t block = ec_get32(request + 8);
    if (size == 0 || block == 0 || block >= config->max_payload || (size - 1) / block >= EC_UPLOAD_BLOCKS)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    if (size > config->policy_ram_size)
        return refuse(reply, EC_REFUSED_CAPACITY, config->policy_ram_size);
    if (!ec_upload_resume(upload, size, name, (uint16_t)block)) {
        use_builtin(device);
        ec_upload_begin(upload, size, name, (uint16_t)block);
    }
    length = accept_mode(device, reply, 12);
    reply[2] = upload->number;
    reply[3] = EC_UPLOAD_WINDOW;
    ec_put32(reply + 4, upload->received);
    ec_put32(reply + 8, upload->beyond);
    return length;
}

/* Nobody waits for a reply: the next UPLOAD_OPEN tells whether it came. */
static void upload_block(ec_device *device, uint16_t index, const uint8_t *request, uint32_t length)
{
    uint32_t offset;
    if (length > 0 && request[0] == device->upload.number &&
        ec_upload_take(&device->upload, index, length - 1, &offset))
        put_image(device, offset, request + 1, length - 1);
}

/* The speed is the caller's to give; it ends with EC_SPEED_HOLD_MS of silence. */
static uint32_t speed(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    uint32_t baud = ec_get32(request);
    if (!config->can_baud || !config->can_baud(baud))
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    device->baud = baud;
    return accept_mode(device, reply, 2);
}

static uint32_t upload_commit(ec_device *device, uint32_t length, uint8_t *reply)
{
    if (length != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    if (device->upload.size == 0) /* the policy in RAM may be in use then, and an episode may run */
        return refuse(reply, EC_REFUSED_IMAGE, (uint32_t)-EC_ERR_SHORT);
    ec_device_rest(device);
    uint32_t received = device->upload.received;
    ec_upload_end(&device->upload);
    int error = ec_policy_open(&device->uploaded, device->config->policy_ram, received);
    uint32_t detail = (uint32_t)-error;
    uint8_t refusal = error != 0 ? EC_REFUSED_IMAGE : prove(device, &device->uploaded, &detail);
    if (refusal != EC_OK) {
        use_builtin(device);
        return refuse(reply, refusal, detail);
    }
    use(device, &device->uploaded);
    length = accept_mode(device, reply, 12);
    copy(reply + 4, device->policy->hash, EC_HASH_SIZE);
    return length;
}

static uint32_t status(const ec_device *device, uint32_t length, uint8_t *reply)
{
    if (length != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    const ec_step_statistics *statistics = &device->statistics;
    unsigned n_act = outputs_of(device);
    length = accept_mode(device, reply, 48 + 2 * n_act);
    ec_put16(reply + 2, (uint16_t)n_act);
    ec_put32(reply + 4, device->now_ms);
    ec_put32(reply + 8, device->receiver.good);
    ec_put32(reply + 12, device->receiver.bad);
    ec_put32(reply + 16, device->repeats);
    ec_put32(reply + 20, device->silences);
    ec_put32(reply + 24, statistics->steps);
    ec_put32(reply + 28, statistics->least_ticks);
    ec_put32(reply + 32, statistics->most_ticks);
    ec_put32(reply + 36, statistics->clamps);
    ec_put64(reply + 40, statistics->sum_ticks);
    put_values(reply + 48, device->config->outputs, n_act);
    return length;
}

static uint32_t stop(ec_device *device, uint32_t length, uint8_t *reply)
{
    if (length != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    ec_device_rest(device);
    return accept_mode(device, reply, 2);
}

static uint32_t peek(const ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    if (length != 4)
        return refuse(reply, EC_REFUSED_LENGTH, 4);
    uint32_t offset = ec_get16(request);
    uint32_t count = ec_get16(request + 2);
    if (!device->policy || count > device->config->max_payload - 4u ||
        ec_net_state_read(&device->net, offset, reply + 4, count) != 0)
        return refuse(reply, EC_REFUSED_ARGUMENT, 0);
    clear(reply, 4);
    return 4 + count;
}

static uint32_t set_limits(const ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply)
{
    const ec_device_config *config = device->config;
    if (length < 4 + EC_LIMIT_SIZE || (length - 4) % EC_LIMIT_SIZE != 0)
        return refuse(reply, EC_REFUSED_LENGTH, 0);
    uint32_t first = ec_get32(request);
    unsigned count = (unsigned)(length - 4) / EC_LIMIT_SIZE;
    if (first >= config->max_act || count > config->max_act - first)
        return refuse(reply, EC_REFUSED_CAPACITY, config->max_act);
    for (int setting = 0; setting < 2; setting++) { /* all, once all are found good */
        for (unsigned i = 0; i < count; i++) {
            unsigned output = (unsigned)first + i;
            ec_limit limit;
            set_hard_limit(&config->rig, output, &limit);
            if (!ec_limit_narrow(&limit, request + 4 + EC_LIMIT_SIZE * i))
                return refuse(reply, EC_REFUSED_ARGUMENT, 0);
            if (setting)
                config->limits[output] = limit;
        }
    }
    (void)accept_mode(device, reply, 4);
    for (unsigned i = 0; i < count; i++)
        ec_limit_put(&config->limits[first + i], reply + 4 + EC_LIMIT_SIZE * i);
    return length;
}

static uint32_t carry_out(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply)
{
    const uint8_t *request = packet + EC_PACKET_HEADER;
    switch (packet[0]) {
    case EC_HELLO:
        return hello(device, reply);
    case EC_RESET:
        return ec_device_reset(device, request, length, reply);
    case EC_STEP:
        return step(device, request, length, reply);
    case EC_UPLOAD_BEGIN:
        return upload_begin(device, request, length, reply);
    case EC_UPLOAD_DATA:
        return upload_data(device, request, length, reply);
    case EC_UPLOAD_COMMIT:
        return upload_commit(device, length, reply);
    case EC_STATUS:
        return status(device, length, reply);
    case EC_STOP:
        return stop(device, length, reply);
    case EC_PEEK:
        return peek(device, request, length, reply);
    case EC_LIMITS:
        return set_limits(device, request, length, reply);
    case EC_EPISODE:
    case EC_BEGIN:
        return begin_episode(device, request, length, reply);
    case EC_RESULT:
        return result(device, length, reply);
    case EC_ACT:
        return act(device, request, length, reply);
    case EC_UPLOAD_OPEN:
        return upload_open(device, request, length, reply);
    case EC_SPEED:
        return speed(device, request, length, reply);
    case EC_EVOLVE:
    case EC_MEMBER:
    case EC_RANKS:
    case EC_LEARN:
    case EC_RHO:
    case EC_RHO_PUT:
    case EC_PRACTICE:
    case EC_PROGRESS:
    case EC_RECORD:
    case EC_CONFIRM:
    case EC_SNAPSHOT:
        if (device->config->evolve)
            return device->config->evolve(device, packet, length, reply);
        break;
    case EC_TRACKS:
    case EC_TRACKS_STEP:
        return ec_device_tracks(device, packet, length, reply);
    }
    return refuse(reply, EC_REFUSED_TYPE, packet[0]);
}

/* ---- the line ---- */

static void put_reply_header(uint8_t *reply, const uint8_t *request)
{
    copy(reply, request, EC_PACKET_HEADER);
    reply[0] |= EC_PACKET_REPLY;
}

/* Refuses a request from outside the session. It changes nothing, the kept reply included. */
static uint32_t send_stray(ec_device *device, uint8_t code, uint32_t detail)
{
    uint8_t packet[EC_PACKET_SIZE(5u)];
    put_reply_header(packet, device->config->request);
    uint32_t length = refuse(packet + EC_PACKET_HEADER, code, detail);
    device->reply = device->stray;
    return ec_frame_encode(device->stray, packet, EC_PACKET_HEADER + length);
}

static uint32_t send_kept(ec_device *device)
{
    device->led = device->led || device->kept_leads;
    device->reply = device->config->reply;
    return device->reply_size;
}

/* Whether a request that was carried out keeps silence away: section 3. */
static bool leads(const ec_device *device, uint8_t type)
{
    return type == EC_RESET || type == EC_STEP || type == EC_EPISODE || type == EC_BEGIN || type == EC_ACT ||
           type == EC_PRACTICE || (type == EC_RESULT && device->mode == EC_MODE_CLOCKED) ||
           (type == EC_PROGRESS && device->mode == EC_MODE_PRACTICE) ||
           (type == EC_MEMBER && device->mode == EC_MODE_RUN);
}

static uint32_t send_result(ec_device *device, uint32_t length)
{
    const ec_device_config *config = device->config;
    uint32_t most = EC_PACKET_SIZE(EC_REPLY_PAYLOAD(config->max_payload, config->max_act));
    uint8_t *packet = config->reply + EC_FRAME_LEAD(most);
    put_reply_header(packet, config->request);
    uint8_t *reply = packet + EC_PACKET_HEADER;
    length = carry_out(device, config->request, length, reply);
    device->kept_leads = reply[0] == EC_OK && leads(device, config->request[0]);
    device->reply_size = ec_frame_encode(config->reply, packet, EC_PACKET_HEADER + length);
    return send_kept(device);
}

uint32_t ec_device_receive(ec_device *device, uint8_t byte)
{
    uint32_t size = ec_frame_receive(&device->receiver, byte);
    if (size == 0)
        return 0;
    device->heard = true;
    const uint8_t *packet = device->config->request;
    uint32_t length = size - EC_PACKET_HEADER;
    uint16_t session = ec_get16(packet + 2);
    uint16_t sequence = ec_get16(packet + 4);

    if (packet[0] == EC_HELLO) {
        if (length != 6)
            return send_stray(device, EC_REFUSED_LENGTH, 6);
        if (ec_get32(packet + EC_PACKET_HEADER) != EC_LINK_MAGIC || session == 0)
            return send_stray(device, EC_REFUSED_ARGUMENT, 0);
        device->session = session;
    } else if (packet[0] == EC_UPLOAD_BLOCK) {
        if (device->session != 0 && session == device->session)
            upload_block(device, sequence, packet + EC_PACKET_HEADER, length);
        return 0;
    } else if (device->session == 0 || session != device->session) {
        return send_stray(device, EC_REFUSED_SESSION, device->session);
    } else if (sequence == device->sequence && packet[0] != EC_SPEED) {
        device->repeats++;
        return send_kept(device);
    }
    device->sequence = sequence;
    return send_result(device, length);
}

void ec_device_poll(ec_device *device, uint32_t now_ms)
{
    device->now_ms = now_ms;
    if (device->heard) {
        device->heard = false;
        device->heard_ms = now_ms;
    }
    if (now_ms - device->heard_ms > EC_SPEED_HOLD_MS)
        device->baud = 0;
    if (device->led) {
        device->led = false;
        device->led_ms = now_ms;
    }
    bool practises = device->mode == EC_MODE_PRACTICE;
    bool is_led = practises || device->mode == EC_MODE_RUN || device->mode == EC_MODE_CLOCKED ||
                  device->mode == EC_MODE_HOSTED;
    if (!is_led || (practises && device->episode.end != EC_END_RUNS))
        ec_device_make_safe(device);
    if (is_led && device->silence_ms > 0 && now_ms - device->led_ms > device->silence_ms) {
        device->silences++;
        ec_episode_stop(&device->episode, EC_END_SILENCE);
        ec_device_enter(device, EC_MODE_SAFE);
    }
}

/* ---- device-clocked episodes ---- */

void ec_device_take_step(ec_device *device)
{
    sense_plant(device);
    (void)control(device);
    judge_plant(device, device->config->ticks());
}

uint32_t ec_device_clock(ec_device *device)
{
    if (device->mode == EC_MODE_PRACTICE)
        return device->config->evolve(device, NULL, 0, NULL);
    if (device->mode != EC_MODE_CLOCKED)
        return EC_NEVER;
    uint32_t wait = ec_episode_wait(&device->episode, device->config->ticks());
    if (wait > 0)
        return wait;
    ec_device_take_step(device);
    leave_ended(device);
    return device->mode == EC_MODE_CLOCKED ? ec_episode_wait(&device->episode, device->config->ticks()) : EC_NEVER;
}

/* As words need it: 8-bit cores take them anywhere. */
static bool is_aligned(const void *p)
{
    struct aligned {
        char byte;
        uint32_t word;
    };
    return p && (uintptr_t)p % offsetof(struct aligned, word) == 0;
}

static bool is_possible(const ec_device_config *config)
{
    return config->board && config->chip_id && config->raw && config->outputs && config->limits &&
           config->request && config->reply && config->ticks && config->rig.apply && config->rig.safe &&
           (!config->evolve || config->learner) &&
           (!config->rig.plant || (config->rig.begin && config->rig.sense && config->rig.judge)) &&
           config->max_obs >= 1 && config->max_obs <= 1024 && config->max_act >= 1 &&
           config->max_act <= 64 && config->max_neurons >= 1 && config->max_neurons <= 1024 &&
           config->max_payload >= EC_MIN_PAYLOAD && config->max_payload / 2u >= config->max_obs &&
           config->net_memory_size >= EC_NET_MEMORY(config->max_neurons, config->max_act, config->max_obs) &&
           is_aligned(config->net_memory) &&
           (config->builtin_size == 0 || config->load || is_aligned(config->builtin)) &&
           (!config->load || config->builtin_size <= config->policy_ram_size) &&
           (config->policy_ram_size == 0 || is_aligned(config->policy_ram));
}

int ec_device_init(ec_device *device, const ec_device_config *config)
{
    if (!device || !config)
        return EC_ERR_ARGUMENT;
    if (!is_possible(config)) {
        if (config->rig.safe)
            config->rig.safe(config->rig.context, config->outputs, 0);
        return EC_ERR_ARGUMENT;
    }
    *device = (ec_device){.config = config};
    for (unsigned a = 0; a < config->max_act; a++)
        set_hard_limit(&config->rig, a, &config->limits[a]);
    ec_frame_receiver_init(&device->receiver, config->request, EC_REQUEST_SIZE(config->max_payload));
    ec_device_rest(device); /* safe before the golden trace takes its time */
    uint32_t detail;
    device->builtin_good =
        config->builtin_size > 0 &&
        ec_policy_open(&device->builtin, builtin_image(config), config->builtin_size) == 0 &&
        prove(device, &device->builtin, &detail) == EC_OK;
    use_builtin(device);
    return 0;
}
