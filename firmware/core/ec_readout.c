/* Outputs, and the list of rows for the next substep. */
#include "ec_kernel.h"

#define FIELDS 4u          /* counts of 8 bits in a word, */
#define MIDDLE 0x80808080u /* which begin at 128: */
#define FEW    64u         /* spikes up to which they hold, and it pays to look at each */
#define CODED  8u          /* outputs that a byte of codes tells of */

static uint32_t popcount(uint32_t x)
{
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0Fu;
    return (x * 0x01010101u) >> 24;
}

/* Neurons of a word are taken one by one in the order that the core finds fastest: place 0 ... 31. */
#if defined(__ARM_FEATURE_CLZ) || defined(__riscv_zbb) || defined(__x86_64__) || defined(__aarch64__)

/* From the top down. Of *bits != 0. */
EC_INLINE unsigned take(uint32_t *bits)
{
    unsigned place = (unsigned)__builtin_clz(*bits);
    *bits &= ~(0x80000000u >> place);
    return place;
}

EC_INLINE unsigned below_last(unsigned place)
{
    return place;
}

#else

/* From the bottom up, at a place that one multiplication finds: Leiserson, Prokop, Randall: Using de
 * Bruijn Sequences to Index a 1 in a Computer Word (1998). */
EC_INLINE unsigned take(uint32_t *bits)
{
    uint32_t lowest = *bits & (0u - *bits);
    *bits ^= lowest;
    return (unsigned)((lowest * 0x077CB531u) >> 27);
}

/* 31 less the neuron at that place. */
EC_INLINE unsigned below_last(unsigned place)
{
    static const uint8_t below[32] = {31, 30, 3, 29, 2,  17, 7,  28, 1,  9,  11, 16, 6,  14, 27, 23,
                                      0,  4,  18, 8, 10, 12, 15, 24, 5,  19, 13, 25, 20, 26, 21, 22};
    return below[place];
}

#endif

/* Which bits are excitatory neurons in a word that begins n_exc neurons before the inhibitory ones. */
EC_INLINE uint32_t excitatory_bits(int32_t n_exc)
{
    return n_exc >= 32 ? 0xFFFFFFFFu : n_exc > 0 ? ((uint32_t)1 << n_exc) - 1 : 0;
}

/* Four bits of a code, each in a byte. */
static const uint32_t fields[16] = {
    0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001, 0x00010100, 0x00010101,
    0x01000000, 0x01000001, 0x01000100, 0x01000101, 0x01010000, 0x01010001, 0x01010100, 0x01010101,
};

/* The rows to be summed next, and the spikes that reach each output by a synapse: fields of 0 ... 3 and
 * 4 ... 7, inhibitory spikes less. */
typedef struct {
    uint32_t n_rows;
    uint32_t n_inh; /* of them */
    uint32_t low;
    uint32_t high;
} listing;

/* Lists all neurons that spiked, or with `flip` all others, until there are more than half. */
EC_INLINE listing list_rows(const ec_net *net, uint32_t flip, bool wants_high)
{
    const ec_spec *spec = &net->policy->spec;
    const uint32_t *spikes = net->spikes;
    const uint8_t *codes = net->codes;
    unsigned *const rows = net->rows;
    const unsigned *most = rows + spec->n_neurons / 2u;
    const unsigned bytes = spec->n_neurons / 8u;
    unsigned *row = rows;
    unsigned last = 31 * bytes;
    int32_t n_exc = spec->n_exc;
    listing list = {0, 0, MIDDLE, MIDDLE};
    for (unsigned words = spec->n_neurons / 32u; words && row <= most; words--) {
        uint32_t all = *spikes++ ^ flip;
        uint32_t excitatory = excitatory_bits(n_exc);
        uint32_t bits = all & excitatory;
        for (bool excites = true;; excites = false) {
            const unsigned *begin = row;
            uint32_t low = 0;
            uint32_t high = 0;
            while (bits) {
                unsigned place = take(&bits);
                unsigned code = codes[place];
                *row++ = last - below_last(place) * bytes;
                low += fields[wants_high ? code & 15u : code];
                if (wants_high)
                    high += fields[code >> 4];
            }
            list.low += excites ? low : 0u - low;
            list.high += excites ? high : 0u - high;
            if (!excites)
                list.n_inh += (uint32_t)(row - begin);
            bits = all & ~excitatory;
            if (!excites || !bits)
                break;
        }
        codes += 32;
        last += 32 * bytes;
        n_exc -= 32;
    }
    list.n_rows = (uint32_t)(row - rows);
    return list;
}

/* Lists the rows of the neurons that spiked, or of the others if they are fewer. */
static listing list_fewer(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    uint32_t n = spec->n_neurons;
    listing list = spec->n_act > FIELDS ? list_rows(net, 0, true) : list_rows(net, 0, false);
    uint32_t n_spiking = list.n_rows;
    uint32_t n_inh_spiking = list.n_inh;
    net->silent = 2 * list.n_rows > n;
    if (net->silent) {
        list = list_rows(net, 0xFFFFFFFFu, true);
        n_spiking = n - list.n_rows;
        n_inh_spiking = n - spec->n_exc - list.n_inh;
    }
    net->n_rows = (uint16_t)list.n_rows;
    net->n_spiking = (uint16_t)n_spiking;
    net->n_inh_spiking = (uint16_t)n_inh_spiking;
    net->spike_count += n_spiking;
    return list;
}

/* C of docs/MODEL.md, for the excitatory/inhibitory form, from the fields. */
static int32_t listed(const listing *list, unsigned a)
{
    uint32_t counts = a < FIELDS ? list->low : list->high;
    return (int32_t)((counts >> (8 * (a % FIELDS))) & 0xFFu) - 128;
}

/* C of docs/MODEL.md from the words of spikes. */
static int32_t count_output(const ec_net *net, unsigned a)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned words = spec->n_neurons / 32u;
    const uint32_t *row = net->policy->w_out + a * words;
    int32_t count = 0;
    for (unsigned w = 0; w < words; w++) {
        uint32_t through = row[w] & net->spikes[w];
        uint32_t excitatory = excitatory_bits((int32_t)spec->n_exc - 32 * (int32_t)w);
        count += (int32_t)popcount(through & excitatory) - (int32_t)popcount(through & ~excitatory);
    }
    return count;
}

static void filter_output(ec_net *net, unsigned a, int32_t count)
{
    const ec_spec *spec = &net->policy->spec;
    if (spec->form == EC_FORM_SIGNED)
        count = 2 * count - net->n_spiking;
    int32_t o = net->output[a];
    o = o - ec_asr(o, spec->output_shift) + count * (int32_t)(1u << spec->output_gain);
    net->output[a] = (int16_t)ec_clamp(o, -32768, 32767);
}

void ec_readout_prepare(ec_net *net)
{
    const ec_policy *policy = net->policy;
    const ec_spec *spec = &policy->spec;
    unsigned words = spec->n_neurons / 32u;
    for (unsigned i = 0; i < spec->n_neurons; i++) {
        unsigned code = 0;
        for (unsigned a = 0; a < spec->n_act && a < CODED; a++) {
            uint32_t row = policy->w_out[a * words + i / 32u];
            code |= (unsigned)((row << below_last(i % 32u)) >> 31) << a;
        }
        net->codes[i] = (uint8_t)code;
    }
}

void ec_readout(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    listing list = list_fewer(net);
    bool coded = !net->silent && net->n_rows <= FEW && spec->n_act <= CODED;
    for (unsigned a = 0; a < spec->n_act; a++)
        filter_output(net, a, coded ? listed(&list, a) : count_output(net, a));
}
