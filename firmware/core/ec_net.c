#include "ec_net.h"

#include "ec_crc.h"
#include "ec_random.h"

/* Synaptic sums are counted for 32 neurons at once in bit-sliced counters: plane b holds bit b of
 * 32 two's complement numbers. Only rows of neurons that spiked are added. */
#define PLANES 18 /* holds -131072 ... 131071: the input drive of 1024 observations */

#define GOLDEN_KEY 0x45434754u

/* The fewest planes whose two's complement range holds low ... high. */
static unsigned planes_for(int32_t low, int32_t high)
{
    unsigned planes = 1;
    for (int32_t end = 1; low < -end || high >= end; end *= 2)
        planes++;
    return planes;
}

static void planes_set(uint32_t *plane, unsigned planes, int32_t value)
{
    for (unsigned b = 0; b < planes; b++)
        plane[b] = ((uint32_t)value >> b) & 1u ? 0xFFFFFFFFu : 0;
}

/* Adds one row of weight 2^base. */
static void planes_add(uint32_t *plane, unsigned base, unsigned planes, uint32_t row)
{
    for (unsigned b = base; b < planes && row; b++) {
        uint32_t carry = plane[b] & row;
        plane[b] ^= row;
        row = carry;
    }
}

/* sum + a + b; what carries is returned. */
static uint32_t full_add(uint32_t *sum, uint32_t a, uint32_t b)
{
    uint32_t half = *sum ^ a;
    uint32_t carry = (*sum & a) | (half & b);
    *sum = half ^ b;
    return carry;
}

/* Saturates to the int8 range: planes 0 ... 7 hold the result, whatever their number was. */
static void planes_saturate(uint32_t *plane, unsigned planes)
{
    /* cppcheck-suppress uninitvar ; planes_set wrote all of them, which it does not follow */
    uint32_t sign = plane[planes - 1];
    uint32_t over = 0;
    for (unsigned b = 7; b + 1 < planes; b++)
        over |= plane[b] ^ sign;
    for (unsigned b = 0; b < 7; b++) {
        uint32_t bit = b < planes ? plane[b] : sign;
        plane[b] = (bit & ~over) | (over & ~sign);
    }
    plane[7] = sign;
}

/* The int8 of neurons lane, lane + 8, lane + 16, lane + 24, in the four bytes of a word. */
static uint32_t planes_lanes(const uint32_t *plane, unsigned lane)
{
    uint32_t bytes = 0;
    for (unsigned b = 0; b < 8; b++)
        bytes |= ((plane[b] >> lane) & 0x01010101u) << b;
    return bytes;
}

static int32_t byte_of(uint32_t bytes, unsigned i)
{
    return (int32_t)(((bytes >> (8 * i)) & 0xFFu) ^ 0x80u) - 0x80;
}

static int32_t saturate8(int32_t x)
{
    return ec_clamp(x, -128, 127);
}

static int32_t popcount(uint32_t x)
{
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0Fu;
    return (int32_t)((x * 0x01010101u) >> 24);
}

/* Which bits of word w are excitatory neurons. */
static uint32_t excitatory_bits(const ec_spec *spec, unsigned w)
{
    unsigned first = 32 * w;
    if (spec->n_exc >= first + 32)
        return 0xFFFFFFFFu;
    return spec->n_exc <= first ? 0 : ((uint32_t)1 << (spec->n_exc - first)) - 1;
}

static int32_t round_shift(int32_t x, unsigned k)
{
    return ec_asr(x + (int32_t)(((uint32_t)1 << k) >> 1), k);
}

static int32_t quantise(const ec_channel *channel, int16_t raw)
{
    int32_t distance = (int32_t)raw - channel->offset;
    return ec_clamp(round_shift(distance * channel->multiplier, channel->shift), -127, 127);
}

/* x of docs/MODEL.md. A negative weight adds the complemented row: -q w = q (1 - w) - q. */
static void input_drive(ec_net *net, const int16_t *raw)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned words = spec->n_neurons / 32u;
    int32_t magnitudes = 0;
    for (unsigned i = 0; i < spec->n_obs; i++) {
        int32_t q = quantise(&policy->map[i], raw[i]);
        magnitudes += q < 0 ? -q : q;
    }
    int32_t half = (int32_t)(((uint32_t)1 << spec->input_shift) >> 1);
    unsigned planes = planes_for(-magnitudes, magnitudes + half);
    if (planes < spec->input_shift + 1u)
        planes = spec->input_shift + 1u;

    for (unsigned w = 0; w < words; w++) {
        uint32_t plane[PLANES];
        planes_set(plane, planes, half - magnitudes);
        for (unsigned i = 0; i < spec->n_obs; i++) {
            int32_t q = quantise(&policy->map[i], raw[i]);
            uint32_t flip = q < 0 ? 0xFFFFFFFFu : 0;
            uint32_t positive = policy->w_in[i * words + w] ^ flip;
            uint32_t negative = policy->w_in[(spec->n_obs + i) * words + w] ^ ~flip;
            uint32_t magnitude = (uint32_t)(q < 0 ? -q : q);
            for (unsigned b = 0; magnitude; b++, magnitude >>= 1) {
                if (magnitude & 1u) {
                    planes_add(plane, b, planes, positive);
                    planes_add(plane, b, planes, negative);
                }
            }
        }
        /* Room above for the saturation's eight planes: PLANES - 7 >= 8 holds. */
        uint32_t *shifted = plane + spec->input_shift;
        planes_saturate(shifted, planes - spec->input_shift);
        for (unsigned lane = 0; lane < 8; lane++) {
            uint32_t bytes = planes_lanes(shifted, lane);
            for (unsigned k = 0; k < 4; k++) {
                int32_t x = byte_of(bytes, k);
                net->drive[32 * w + 8 * k + lane] = (int8_t)(x < -127 ? -127 : x);
            }
        }
    }
}

/* S of docs/MODEL.md for the 32 neurons of word w, saturated, in planes 0 ... 7.
 * form 0: S = count - n_inh;  form 1: S = 2 count - n = 2 (count + floor(-n / 2)) + (n mod 2). */
static void recurrent_sum(const ec_net *net, unsigned w, uint32_t *plane)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned words = spec->n_neurons / 32u;
    const uint32_t *column = net->policy->w_rec + w;
    unsigned n = net->n_spiking;
    bool is_signed = spec->form == EC_FORM_SIGNED;
    int32_t start = is_signed ? ec_asr(-(int32_t)n, 1) : -(int32_t)net->n_inh_spiking;
    uint32_t *count = plane + (is_signed ? 1 : 0);
    unsigned planes = planes_for(start, start + (int32_t)n);
    if (planes < 3)
        planes = 3;
    planes_set(count, planes, start);

    const uint16_t *spiking = net->spiking;
    for (; n >= 4; n -= 4, spiking += 4) {
        uint32_t two = full_add(&count[0], column[spiking[0] * words], column[spiking[1] * words]);
        uint32_t other = full_add(&count[0], column[spiking[2] * words], column[spiking[3] * words]);
        planes_add(count, 2, planes, full_add(&count[1], two, other));
    }
    for (; n; n--, spiking++)
        planes_add(count, 0, planes, column[*spiking * words]);

    if (is_signed) {
        plane[0] = net->n_spiking & 1u ? 0xFFFFFFFFu : 0;
        planes++;
    }
    planes_saturate(plane, planes);
}

/* Current, membrane and spikes of the 32 neurons of word w. Returns the spikes. */
static uint32_t update_neurons(ec_net *net, unsigned w, const uint32_t *plane)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned gain = (unsigned)(spec->recurrent_gain < 0 ? -spec->recurrent_gain : spec->recurrent_gain);
    uint32_t spikes = 0;
    for (unsigned lane = 0; lane < 8; lane++) {
        uint32_t bytes = planes_lanes(plane, lane);
        for (unsigned k = 0; k < 4; k++) {
            unsigned bit = 8 * k + lane;
            unsigned i = 32 * w + bit;
            int32_t sum = byte_of(bytes, k);
            int32_t synaptic =
                spec->recurrent_gain < 0 ? ec_asr(sum, gain) : saturate8(sum * (int32_t)(1u << gain));
            int32_t c = net->current[i];
            int32_t v = net->membrane[i];
            c = saturate8(c - ec_asr(c, spec->current_shift) + synaptic);
            v = saturate8(v - ec_asr(v, spec->membrane_shift) + saturate8(c + net->drive[i]));
            if (v >= EC_V_TH) {
                spikes |= (uint32_t)1 << bit;
                v = 0;
            }
            net->current[i] = (int8_t)c;
            net->membrane[i] = (int8_t)v;
        }
    }
    return spikes;
}

/* Lists the neurons that spiked, for the next substep's sums. */
static void list_spikes(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned n = 0;
    unsigned n_inh = 0;
    for (unsigned w = 0; w < spec->n_neurons / 32u; w++) {
        unsigned i = 32 * w;
        for (uint32_t rest = net->spikes[w]; rest; rest >>= 1, i++) {
            if (rest & 1u) {
                net->spiking[n++] = (uint16_t)i;
                n_inh += i >= spec->n_exc;
            }
        }
    }
    net->n_spiking = (uint16_t)n;
    net->n_inh_spiking = (uint16_t)n_inh;
}

static void filter_outputs(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    const uint32_t *row = net->policy->w_out;
    bool is_signed = spec->form == EC_FORM_SIGNED;
    for (unsigned a = 0; a < spec->n_act; a++) {
        int32_t count = is_signed ? -(int32_t)net->n_spiking : 0;
        for (unsigned w = 0; w < spec->n_neurons / 32u; w++) {
            uint32_t through = *row++ & net->spikes[w];
            uint32_t excitatory = is_signed ? through : excitatory_bits(spec, w);
            if (is_signed)
                count += 2 * popcount(through);
            else
                count += popcount(through & excitatory) - popcount(through & ~excitatory);
        }
        int32_t o = net->output[a];
        o = o - ec_asr(o, spec->output_shift) + count * (int32_t)(1u << spec->output_gain);
        net->output[a] = (int16_t)ec_clamp(o, -32768, 32767);
    }
}

int ec_net_init(ec_net *net, const ec_policy *policy, void *memory, uint32_t size)
{
    unsigned n = policy->spec.n_neurons;
    unsigned n_act = policy->spec.n_act;
    if (size < EC_NET_MEMORY(n, n_act))
        return EC_ERR_CAPACITY;
    /* Largest alignment first; every block is a multiple of 4 bytes. */
    uint8_t *block = memory;
    net->policy = policy;
    net->spikes = (void *)block;
    block += n / 8u;
    net->output = (void *)block;
    block += 4u * ((n_act + 1u) / 2u);
    net->spiking = (void *)block;
    block += 2u * n;
    net->current = (void *)block;
    block += n;
    net->membrane = (void *)block;
    block += n;
    net->drive = (void *)block;
    ec_net_reset(net);
    return 0;
}

void ec_net_reset(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    for (unsigned i = 0; i < spec->n_neurons; i++) {
        net->current[i] = 0;
        net->membrane[i] = (int8_t)(37u * i % 64u);
        net->drive[i] = 0;
    }
    for (unsigned w = 0; w < spec->n_neurons / 32u; w++)
        net->spikes[w] = 0;
    for (unsigned a = 0; a < spec->n_act; a++)
        net->output[a] = 0;
    net->n_spiking = 0;
    net->n_inh_spiking = 0;
    net->spike_count = 0;
}

void ec_net_step(ec_net *net, const int16_t *raw)
{
    const ec_spec *spec = &net->policy->spec;
    input_drive(net, raw);
    net->spike_count = 0;
    for (unsigned substep = 0; substep < spec->substeps; substep++) {
        for (unsigned w = 0; w < spec->n_neurons / 32u; w++) {
            uint32_t plane[PLANES];
            recurrent_sum(net, w, plane);
            /* The sums read the list of spikes, so their words may be replaced one by one. */
            net->spikes[w] = update_neurons(net, w, plane);
        }
        list_spikes(net);
        filter_outputs(net);
        net->spike_count += net->n_spiking;
    }
}

typedef struct {
    const void *bytes;
    uint32_t size;
} region;

/* The parts of the state, in the order of the digest. */
static void state_regions(const ec_net *net, region regions[4])
{
    const ec_spec *spec = &net->policy->spec;
    regions[0] = (region){net->current, spec->n_neurons};
    regions[1] = (region){net->membrane, spec->n_neurons};
    regions[2] = (region){net->spikes, spec->n_neurons / 8u};
    regions[3] = (region){net->output, 2u * spec->n_act};
}

uint32_t ec_net_digest(const ec_net *net, uint32_t crc)
{
    region regions[4];
    state_regions(net, regions);
    for (unsigned r = 0; r < 4; r++)
        crc = ec_crc32(crc, regions[r].bytes, regions[r].size);
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
    region regions[4];
    state_regions(net, regions);
    const region *r = regions;
    while (length) {
        if (offset < r->size) {
            *bytes++ = ((const uint8_t *)r->bytes)[offset++];
            length--;
        } else {
            offset -= r->size;
            r++;
        }
    }
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
