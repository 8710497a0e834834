#include "ec_net.h"

#include "ec_crc.h"
#include "ec_kernel.h"
#include "ec_random.h"

#define GOLDEN_KEY 0x45434754u

uint32_t ec_net_memory(const ec_spec *spec)
{
    return EC_NET_MEMORY((uint32_t)spec->n_neurons, (uint32_t)spec->n_act, (uint32_t)spec->n_obs);
}

static void *take(uint8_t **block, uint32_t size)
{
    void *taken = *block;
    *block += (size + 3u) & ~(uint32_t)3u;
    return taken;
}

int ec_net_init(ec_net *net, const ec_policy *policy, void *memory, uint32_t size)
{
    uint32_t n = policy->spec.n_neurons;
    if (size < ec_net_memory(&policy->spec))
        return EC_ERR_CAPACITY;
    uint8_t *block = memory;
    net->policy = policy;
    net->groups = take(&block, 4u * n);
    net->codes = take(&block, n);
    net->rows = take(&block, EC_ROW_SIZE * EC_NET_ROWS(n));
    net->total = take(&block, EC_TOTAL_PLANES * (n / 8u));
    net->spikes = take(&block, n / 8u);
    net->output = take(&block, 2u * policy->spec.n_act);
    net->input = take(&block, policy->spec.n_obs);
    ec_columns_prepare(net);
    ec_readout_prepare(net);
    ec_net_reset(net);
    return 0;
}

void ec_net_reset(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    for (unsigned w = 0; w < spec->n_neurons / 32u; w++) {
        for (unsigned i = 0; i < 32; i++) {
            ec_lanes_put(net->groups[w].current, i, 0);
            ec_lanes_put(net->groups[w].membrane, i, (int8_t)(37u * (32 * w + i) % 64u));
        }
        net->spikes[w] = 0;
    }
    for (unsigned a = 0; a < spec->n_act; a++)
        net->output[a] = 0;
    net->n_rows = 0;
    net->silent = false;
    net->n_spiking = 0;
    net->n_inh_spiking = 0;
    net->spike_count = 0;
}

static inline bool is_fast(const ec_spec *spec)
{
    return spec->current_shift == EC_FAST_CURRENT_SHIFT &&
           spec->membrane_shift == EC_FAST_MEMBRANE_SHIFT &&
           spec->recurrent_gain == EC_FAST_RECURRENT_GAIN;
}

void ec_net_step(ec_net *net, const int16_t *raw)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned words = spec->n_neurons / 32u;
    bool fast = is_fast(spec);
    bool is_signed = spec->form == EC_FORM_SIGNED;
    ec_drive(net, raw);
    net->spike_count = 0;
    for (unsigned substep = 0; substep < spec->substeps; substep++) {
        if (EC_HAS_STEP_FEW && fast && !is_signed && ec_sums_few(net)) {
            ec_step_few(net);
        } else {
            ec_columns(net);
            if (fast)
                ec_update_fast(net->groups, net->spikes, words);
            else
                for (unsigned w = 0; w < words; w++)
                    net->spikes[w] = ec_update_group(&net->groups[w], spec);
        }
        ec_readout(net);
    }
}

/* Byte `offset` of the state, in the order of the digest. */
static uint8_t state_byte(const ec_net *net, uint32_t offset)
{
    uint32_t n = net->policy->spec.n_neurons;
    const ec_group *group = net->groups + offset % n / 32u;
    if (offset < 2 * n)
        return (uint8_t)ec_lanes_get(offset < n ? group->current : group->membrane, offset % 32u);
    const uint8_t *spikes = (const uint8_t *)net->spikes;
    const uint8_t *output = (const uint8_t *)net->output;
    return offset < 2 * n + n / 8u ? spikes[offset - 2 * n] : output[offset - 2 * n - n / 8u];
}

uint32_t ec_net_digest(const ec_net *net, uint32_t crc)
{
    uint32_t size = ec_net_state_size(net);
    for (uint32_t offset = 0; offset < size; offset++) {
        uint8_t byte = state_byte(net, offset);
        crc = ec_crc32(crc, &byte, 1);
    }
    return crc;
}

uint32_t ec_net_state_size(const ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    return 2u * spec->n_neurons + spec->n_neurons / 8u + 2u * spec->n_act;
}

int ec_net_state_read(const ec_net *net, uint32_t offset, uint8_t *bytes, uint32_t length)
{
    uint32_t size = ec_net_state_size(net);
    if (offset > size || length > size - offset)
        return EC_ERR_ARGUMENT;
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = state_byte(net, offset + i);
    return 0;
}

int ec_net_golden(ec_net *net, int16_t *raw, uint32_t *crc)
{
    const ec_policy *policy = net->policy;
    uint32_t running = 0;
    ec_net_reset(net);
    for (uint32_t step = 0; step < policy->golden_steps; step++) {
        for (uint32_t i = 0; i < policy->spec.n_obs; i++) {
            int32_t noise = ec_signed16((uint16_t)ec_random(GOLDEN_KEY, step, i, 0).x0);
            int32_t count = policy->map[i].offset + ec_asr(noise, step % 8u);
            raw[i] = (int16_t)ec_clamp(count, -32768, 32767);
        }
        ec_net_step(net, raw);
        running = ec_net_digest(net, running);
    }
    ec_net_reset(net);
    *crc = running;
    return policy->golden_steps > 0 && running == policy->golden_crc ? 0 : EC_ERR_GOLDEN;
}
