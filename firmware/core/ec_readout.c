/* Outputs, and the list of rows for the next substep. */
#include "ec_kernel.h"

#define FIELDS 4u  /* counts of 8 bits in a word */
#define CODED  8u  /* outputs that a byte of codes tells of */
#define FEW    64u /* spikes up to which it pays to look at each; a count must not exceed 255 */

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

EC_INLINE unsigned neuron_at(unsigned place)
{
    return 31u - place;
}

#else

/* From the bottom up, at a place that one multiplication finds: Leiserson, Prokop, Randall: Using de
 * Bruijn Sequences to Index a 1 in a Computer Word (1998). */
EC_INLINE unsigned take(uint32_t *bits)
{
    uint32_t lowest = *bits & (0u - *bits);
    *bits ^= lowest;
    return (lowest * 0x077CB531u) >> 27;
}

EC_INLINE unsigned neuron_at(unsigned place)
{
    static const uint8_t neuron[32] = {0,  1,  28, 2,  29, 14, 24, 3,  30, 22, 20, 15, 25, 17, 4,  8,
                                       31, 27, 13, 23, 21, 19, 16, 7,  26, 12, 18, 6,  11, 5,  10, 9};
    return neuron[place];
}

#endif

/* Which bits of word w are excitatory neurons. */
static uint32_t excitatory_bits(const ec_spec *spec, unsigned w)
{
    unsigned first = 32 * w;
    if (spec->n_exc >= first + 32)
        return 0xFFFFFFFFu;
    return spec->n_exc <= first ? 0 : ((uint32_t)1 << (spec->n_exc - first)) - 1;
}

/* Four bits of a code, each in a byte. */
static const uint32_t fields[16] = {
    0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001, 0x00010100, 0x00010101,
    0x01000000, 0x01000001, 0x01000100, 0x01000101, 0x01010000, 0x01010001, 0x01010100, 0x01010101,
};

/* Rows being listed, and counts of the spikes that reach each output. */
typedef struct {
    const uint32_t *spikes;
    const uint8_t *codes;
    const uint32_t *most; /* beyond it more than half of the neurons are listed */
    uint32_t bytes;       /* of a row */
    uint32_t flip;        /* all ones to list those that do not spike */
    uint32_t *row;        /* where the next one goes */
    uint32_t low;
    uint32_t high; /* of outputs 4 ... 7, where wanted */
} listing;

/* Lists neurons of word w, where `of` has ones. */
EC_INLINE void list_word(listing *list, unsigned w, uint32_t of, bool wants_high)
{
    uint32_t bits = (list->spikes[w] ^ list->flip) & of;
    if (!bits || list->row > list->most)
        return;
    const uint8_t *codes = list->codes + 32 * w;
    uint32_t first = 32 * w * list->bytes;
    do {
        unsigned place = take(&bits);
        unsigned code = codes[place];
        *list->row++ = first + neuron_at(place) * list->bytes;
        list->low += fields[wants_high ? code & 15u : code];
        if (wants_high)
            list->high += fields[code >> 4];
    } while (bits);
}

/* Lists excitatory neurons, then inhibitory ones, which begin at the number that is returned. count
 * gets the counts of outputs 0 ... 3 and 4 ... 7, inhibitory ones behind. */
EC_INLINE uint32_t list_groups(ec_net *net, uint32_t flip, uint32_t count[4], bool wants_high)
{
    const ec_spec *spec = &net->policy->spec;
    unsigned words = spec->n_neurons / 32u;
    unsigned whole = spec->n_exc / 32u;
    uint32_t split = excitatory_bits(spec, whole);
    listing list = {
        .spikes = net->spikes,
        .codes = net->codes,
        .most = net->rows + spec->n_neurons / 2u,
        .bytes = spec->n_neurons / 8u,
        .flip = flip,
        .row = net->rows,
    };
    unsigned w = 0;
    for (; w < whole; w++)
        list_word(&list, w, 0xFFFFFFFFu, wants_high);
    if (split)
        list_word(&list, w, split, wants_high);
    uint32_t n_exc = (uint32_t)(list.row - net->rows);
    count[0] = list.low;
    count[1] = list.high;
    list.low = 0;
    list.high = 0;
    if (split)
        list_word(&list, w++, ~split, wants_high);
    for (; w < words; w++)
        list_word(&list, w, 0xFFFFFFFFu, wants_high);
    count[2] = list.low;
    count[3] = list.high;
    net->n_rows = (uint16_t)(list.row - net->rows);
    return n_exc;
}

/* Lists the rows to be summed next: of the neurons that spiked, or of the others if they are fewer. */
static void list_rows(ec_net *net, uint32_t count[4])
{
    const ec_spec *spec = &net->policy->spec;
    uint32_t n_exc;
    if (spec->n_act > FIELDS)
        n_exc = list_groups(net, 0, count, true);
    else
        n_exc = list_groups(net, 0, count, false);
    net->n_spiking = net->n_rows;
    net->silent = 2u * net->n_rows > spec->n_neurons;
    if (net->silent) {
        n_exc = spec->n_exc - list_groups(net, 0xFFFFFFFFu, count, true);
        net->n_spiking = (uint16_t)(spec->n_neurons - net->n_rows);
    }
    net->n_inh_spiking = (uint16_t)(net->n_spiking - n_exc);
    net->spike_count += net->n_spiking;
}

/* C of docs/MODEL.md from the counts of list_groups. */
static int32_t counted(const uint32_t count[4], unsigned a)
{
    unsigned shift = 8 * (a % FIELDS);
    const uint32_t *of = count + a / FIELDS;
    return (int32_t)((of[0] >> shift) & 0xFFu) - (int32_t)((of[2] >> shift) & 0xFFu);
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
        uint32_t excitatory = excitatory_bits(spec, w);
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
        for (unsigned a = 0; a < spec->n_act && a < CODED; a++)
            code |= (unsigned)((policy->w_out[a * words + i / 32u] >> neuron_at(i % 32u)) & 1u) << a;
        net->codes[i] = (uint8_t)code;
    }
}

void ec_readout(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    uint32_t count[4];
    list_rows(net, count);
    bool coded = !net->silent && net->n_rows <= FEW && spec->n_act <= CODED;
    for (unsigned a = 0; a < spec->n_act; a++)
        filter_output(net, a, coded ? counted(count, a) : count_output(net, a));
}
