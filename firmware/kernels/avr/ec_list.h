/* What ec_readout.c asks of assembly: the offsets are those in ec_list.S. */
#ifndef EC_LIST_H
#define EC_LIST_H

#include <stdint.h>

typedef struct {
    const uint8_t *spikes;      /* 0 */
    const uint8_t *codes;       /* 2: a byte for each neuron, a bit for each output */
    unsigned *rows;             /* 4 */
    unsigned n_exc;             /* 6 */
    uint8_t row_bytes;          /* 8: of a row of W_rec, and of the spikes */
    uint8_t flip;               /* 9: 0xFF lists the neurons that did not spike */
    unsigned *end;              /* 10: behind the last row */
    unsigned *inhibitory;       /* 12: the first of an inhibitory neuron */
    int8_t counts[8];           /* 14: for each output, inhibitory spikes less; of at most 127 rows */
} ec_list;

/* Lists rows, those of excitatory neurons first, until there are more than half of all, and at most
 * seven more. */
void ec_list_rows(ec_list *list);

/* A step of n outputs: see ec_filter.S. */
void ec_filter(int16_t *output, const int8_t *counts, uint8_t n, uint8_t shift, int16_t weight);

#endif
