/* Outputs, and the list of rows for the next substep, for AVR: bytes instead of words. */
#include "ec_kernel.h"
#include "ec_list.h"

#define FEW   64u /* rows up to which the list's counts hold */
#define CODED 8u  /* outputs that a byte of codes tells of */

static uint8_t popcount(uint8_t x)
{
    x = (uint8_t)(x - ((x >> 1) & 0x55));
    x = (uint8_t)((x & 0x33) + ((x >> 2) & 0x33));
    return (uint8_t)((x + (x >> 4)) & 0x0F);
}

static void list_rows(const ec_net *net, ec_list *list, uint8_t flip)
{
    const ec_spec *spec = &net->policy->spec;
    list->spikes = (const uint8_t *)net->spikes;
    list->codes = net->codes;
    list->rows = net->rows;
    list->n_exc = spec->n_exc;
    list->row_bytes = (uint8_t)(spec->n_neurons / 8u);
    list->flip = flip;
    ec_list_rows(list);
}

/* Lists the rows of the neurons that spiked, or of the others if they are fewer. */
static void list_fewer(ec_net *net, ec_list *list)
{
    const ec_spec *spec = &net->policy->spec;
    list_rows(net, list, 0);
    unsigned n_rows = (unsigned)(list->end - list->rows);
    unsigned n_inh = (unsigned)(list->end - list->inhibitory);
    net->silent = n_rows > spec->n_neurons / 2u;
    if (net->silent) {
        list_rows(net, list, 0xFF);
        n_rows = (unsigned)(list->end - list->rows);
        n_inh = spec->n_neurons - spec->n_exc - (unsigned)(list->end - list->inhibitory);
    }
    net->n_rows = n_rows;
    net->n_spiking = net->silent ? spec->n_neurons - n_rows : n_rows;
    net->n_inh_spiking = n_inh;
    net->spike_count += net->n_spiking;
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
__attribute__((noinline)) static void filter_outputs(ec_net *net, int16_t weight)
{
    const ec_spec *spec = &net->policy->spec;
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

void ec_readout(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    ec_list list;
    list_fewer(net, &list);
    int16_t weight = (int16_t)(1 << spec->output_gain);
    if (net->silent || net->n_rows > FEW || spec->n_act > CODED) {
        filter_outputs(net, weight);
        return;
    }
    if (spec->form == EC_FORM_SIGNED) {
        for (unsigned a = 0; a < spec->n_act; a++)
            list.counts[a] = (int8_t)(2 * list.counts[a] - (int8_t)net->n_rows);
    }
    ec_filter(net->output, list.counts, (uint8_t)spec->n_act, spec->output_shift, weight);
}
