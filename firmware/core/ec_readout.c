/* Outputs, and what is to be summed in the next substep. */
#include "ec_list.h"

#define FEW    64u /* spikes up to which the list's counts hold, and it pays to look at each */
#define CODED  8u  /* outputs that a byte of codes tells of */
#define MIDDLE EC_LIST_MIDDLE
#define FIELDS EC_LIST_FIELDS

static uint32_t popcount(uint32_t x)
{
#ifdef __riscv_zbb
    return (uint32_t)__builtin_popcount(x);
#else
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0Fu;
    return (x * 0x01010101u) >> 24;
#endif
}

/* C of docs/MODEL.md, for the excitatory/inhibitory form, from the words of spikes. */
static int32_t count_output(const ec_net *net, unsigned a)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned words = spec->n_neurons / 32u;
    const uint32_t *row = net->policy->w_out + a * words;
    int32_t count = 0;
    for (unsigned w = 0; w < words; w++) {
        uint32_t through = row[w] & net->spikes[w];
        uint32_t excitatory = ec_excitatory_bits((int32_t)spec->n_exc - 32 * (int32_t)w);
        count += (int32_t)popcount(through & excitatory) - (int32_t)popcount(through & ~excitatory);
    }
    return count;
}

EC_INLINE int16_t saturate(int32_t x)
{
#ifdef __ARM_FEATURE_SAT /* compilers miss it where the limits are kept in registers */
    __asm__("ssat %0, #16, %0" : "+r"(x));
    return (int16_t)x;
#else
    return (int16_t)ec_clamp(x, -32768, 32767);
#endif
}

EC_INLINE int16_t filter(int32_t o, unsigned shift, int32_t input)
{
    return saturate(o - ec_asr(o, shift) + input);
}

/* Outputs from the words of spikes. */
static void count_outputs(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    for (unsigned a = 0; a < spec->n_act; a++) {
        int32_t count = count_output(net, a);
        if (spec->form == EC_FORM_SIGNED)
            count = 2 * count - net->n_spiking;
        int32_t weight = (int32_t)1 << spec->output_gain;
        net->output[a] = filter(net->output[a], spec->output_shift, count * weight);
    }
}

/* Outputs from a word of the list's fields, with `start` added to each. */
EC_INLINE void decode(int16_t *output, unsigned n, uint32_t counts, unsigned shift, unsigned gain,
                      int32_t start)
{
    for (const int16_t *end = output + n; output < end; output++, counts >>= 8)
        *output = filter(*output, shift, (int32_t)((counts & 0xFFu) << gain) + start);
}

/* The list was of those that spiked, or lists the others if they are fewer. */
EC_APART void read_many(ec_net *net, const ec_list *spiking)
{
    const ec_spec *spec = &net->policy->spec;
    uint32_t n = spec->n_neurons;
    ec_list list = *spiking;
    net->silent = 2 * list.n_rows > n;
    if (net->silent)
        ec_list_rows(net, 0xFFFFFFFFu, &list);
    uint32_t n_spiking = net->silent ? n - list.n_rows : list.n_rows;
    net->n_rows = (uint16_t)list.n_rows;
    net->n_spiking = (uint16_t)n_spiking;
    net->n_inh_spiking = (uint16_t)(net->silent ? n - spec->n_exc - list.n_inh : list.n_inh);
    net->spike_count += n_spiking;
    count_outputs(net);
}

void ec_readout_prepare(ec_net *net)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned words = spec->n_neurons / 32u;
    for (unsigned i = 0; i < spec->n_neurons; i++) {
        unsigned code = 0;
        for (unsigned a = 0; a < spec->n_act && a < CODED; a++)
            code |= (unsigned)((policy->w_out[a * words + i / 32u] >> i % 32u) & 1u) << a;
        net->codes[i - i % 32u + ec_list_place(i % 32u)] = (uint8_t)code;
    }
}

void ec_readout(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    ec_list list;
    ec_list_rows(net, 0, &list);
    unsigned n = spec->n_act;
    if (list.n_rows > FEW || 2 * list.n_rows > spec->n_neurons || n > CODED) {
        read_many(net, &list);
        return;
    }
    net->silent = false;
    net->n_rows = (uint16_t)list.n_rows;
    net->n_spiking = (uint16_t)list.n_rows;
    net->n_inh_spiking = (uint16_t)list.n_inh;
    net->spike_count += list.n_rows;
    unsigned shift = spec->output_shift;
    unsigned gain = spec->output_gain;
    int32_t weight = (int32_t)1 << gain;
    int32_t start = -MIDDLE * weight;
    if (spec->form == EC_FORM_SIGNED) { /* 2 count - n */
        start = 2 * start - (int32_t)list.n_rows * weight;
        gain++;
    }
    int16_t *output = net->output;
    if (n > FIELDS) {
        decode(output, FIELDS, list.low, shift, gain, start);
        decode(output + FIELDS, n - FIELDS, list.high, shift, gain, start);
    } else {
        decode(output, n, list.low, shift, gain, start);
    }
}
