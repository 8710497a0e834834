/* Outputs, and the list of rows for the next substep, for AVR: bytes instead of words. */
#include "ec_kernel.h"
#include "ec_list.h"

#define FEW   64u /* rows up to which the list's counts hold */
#define CODED 8u  /* outputs that a byte of codes tells of */

/* Apart, so that the usual way through ec_readout saves few registers. */
#define APART __attribute__((noinline))

static uint8_t popcount(uint8_t x)
{
    x = (uint8_t)(x - ((x >> 1) & 0x55));
    x = (uint8_t)((x & 0x33) + ((x >> 2) & 0x33));
    return (uint8_t)((x + (x >> 4)) & 0x0F);
}

/* C of docs/MODEL.md, for the excitatory/inhibitory form, from the spikes. */
static int16_t count_output(const ec_net *net, unsigned a)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned bytes = spec->n_neurons / 8u;
    const uint8_t *row = (const uint8_t *)net->policy->w_out + a * bytes;
    const uint8_t *spikes = (const uint8_t *)net->spikes;
    int16_t left = (int16_t)spec->n_exc;
    int16_t count = 0;
    for (; bytes; bytes--, left = (int16_t)(left - 8)) {
        uint8_t through = *row++ & *spikes++;
        uint8_t excitatory = 0;
        if (left >= 8)
            excitatory = through;
        else if (left > 0)
            excitatory = through & (uint8_t)((1 << left) - 1);
        count = (int16_t)(count + popcount(excitatory) - popcount(through ^ excitatory));
    }
    return count;
}

/* Of any number of spikes. */
APART static void filter_outputs(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    int16_t weight = (int16_t)(1 << spec->output_gain);
    for (unsigned a = 0; a < spec->n_act; a++) {
        int16_t count = count_output(net, a);
        if (spec->form == EC_FORM_SIGNED)
            count = (int16_t)(2 * count - (int16_t)net->n_spiking);
        int32_t o = net->output[a];
        o = o - ec_asr(o, spec->output_shift) + (int32_t)count * weight;
        net->output[a] = (int16_t)ec_clamp(o, -32768, 32767);
    }
}

void ec_readout_prepare(ec_net *net)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned bytes = spec->n_neurons / 8u;
    for (unsigned i = 0; i < spec->n_neurons; i++) {
        const uint8_t *row = (const uint8_t *)policy->w_out + i / 8u;
        uint8_t bit = (uint8_t)(1u << i % 8u);
        uint8_t code = 0;
        for (unsigned a = 0; a < spec->n_act && a < CODED; a++, row += bytes)
            if (*row & bit)
                code = (uint8_t)(code | 1u << a);
        net->codes[i] = code;
    }
}

EC_INLINE unsigned *list_rows(const ec_net *net, ec_list *list, uint8_t flip)
{
    const ec_spec *spec = &net->policy->spec;
    return ec_list_rows(list, (const uint8_t *)net->spikes, net->codes, net->rows, spec->n_exc,
                        (uint8_t)(spec->n_neurons / 8u), flip, (uint8_t)spec->n_act);
}

/* Where more than half of all spiked. */
APART static void read_out_silent(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    ec_list list;
    unsigned *end = list_rows(net, &list, 0xFF);
    net->silent = true;
    net->n_rows = (uint16_t)(end - net->rows);
    net->n_spiking = (uint16_t)(spec->n_neurons - net->n_rows);
    net->n_inh_spiking = (uint16_t)(spec->n_neurons - spec->n_exc - (unsigned)(end - list.inhibitory));
    net->spike_count += net->n_spiking;
    filter_outputs(net);
}

APART static void double_counts(int8_t *counts, unsigned n_act, uint8_t n_spiking)
{
    for (; n_act; n_act--, counts++)
        *counts = (int8_t)(2 * *counts - (int8_t)n_spiking);
}

void ec_readout(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    ec_list list;
    unsigned *end = list_rows(net, &list, 0);
    uint16_t n_rows = (uint16_t)(end - net->rows);
    if (n_rows > spec->n_neurons / 2u) {
        read_out_silent(net);
        return;
    }
    net->silent = false;
    net->n_rows = n_rows;
    net->n_spiking = n_rows;
    net->n_inh_spiking = (uint16_t)(end - list.inhibitory);
    net->spike_count += n_rows;
    if (n_rows > FEW || spec->n_act > CODED) {
        filter_outputs(net);
        return;
    }
    if (spec->form == EC_FORM_SIGNED)
        double_counts(list.counts, spec->n_act, (uint8_t)n_rows);
    ec_filter(net->output, list.counts, (uint8_t)spec->n_act, spec->output_shift, spec->output_gain);
}
