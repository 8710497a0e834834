/* The list of rows for the next substep, spike by spike. */
#include "ec_list.h"

#if EC_LIST_FROM_TOP

/* The place of the next neuron of *bits != 0. */
EC_INLINE unsigned take(uint32_t *bits)
{
    unsigned place = (unsigned)__builtin_clz(*bits);
    *bits &= ~(0x80000000u >> place);
    return place;
}

/* 31 less the neuron at that place. */
EC_INLINE unsigned below_last(unsigned place)
{
    return place;
}

#else

EC_INLINE unsigned take(uint32_t *bits)
{
    uint32_t lowest = *bits & (0u - *bits);
    *bits ^= lowest;
    return (unsigned)((lowest * EC_LIST_DE_BRUIJN) >> 27);
}

EC_INLINE unsigned below_last(unsigned place)
{
    static const uint8_t below[32] = {31, 30, 3, 29, 2,  17, 7,  28, 1,  9,  11, 16, 6,  14, 27, 23,
                                      0,  4,  18, 8, 10, 12, 15, 24, 5,  19, 13, 25, 20, 26, 21, 22};
    return below[place];
}

#endif

/* Four bits of a code, each in a byte. */
static const uint32_t fields[16] = {
    0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001, 0x00010100, 0x00010101,
    0x01000000, 0x01000001, 0x01000100, 0x01000101, 0x01010000, 0x01010001, 0x01010100, 0x01010101,
};

EC_INLINE void list_rows(const ec_net *net, uint32_t flip, ec_list *list, bool wants_high)
{
    const ec_spec *spec = &net->policy->spec;
    const uint32_t *spikes = net->spikes;
    const uint8_t *codes = net->codes;
    unsigned *const rows = net->rows;
    const unsigned *most = rows + spec->n_neurons / 2u;
    const unsigned bytes = spec->n_neurons / 8u;
    unsigned *row = rows;
    unsigned last = 31 * bytes; /* row of the word's last neuron */
    int32_t n_exc = spec->n_exc;
    ec_list made = {0, 0, EC_LIST_COUNTS, EC_LIST_COUNTS};
    for (unsigned words = spec->n_neurons / 32u; words && row <= most; words--) {
        uint32_t all = *spikes++ ^ flip;
        uint32_t excitatory = ec_excitatory_bits(n_exc);
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
            made.low += excites ? low : 0u - low;
            made.high += excites ? high : 0u - high;
            if (!excites)
                made.n_inh += (uint32_t)(row - begin);
            bits = all & ~excitatory;
            if (!excites || !bits)
                break;
        }
        codes += 32;
        last += 32 * bytes;
        n_exc -= 32;
    }
    made.n_rows = (uint32_t)(row - rows);
    *list = made;
}

void ec_list_rows(const ec_net *net, uint32_t flip, ec_list *list)
{
    if (net->policy->spec.n_act > EC_LIST_FIELDS)
        list_rows(net, flip, list, true);
    else
        list_rows(net, flip, list, false);
}
