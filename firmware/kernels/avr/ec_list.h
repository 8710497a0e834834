/* What ec_readout.c asks of assembly: the offsets are those in ec_list.S. */
#ifndef EC_LIST_H
#define EC_LIST_H

#include <stdint.h>

typedef struct {
    unsigned *inhibitory; /* 0: the first row of an inhibitory neuron */
    int8_t counts[8];     /* 2: for each output, inhibitory spikes less; of at most 127 rows */
} ec_list;

/* Lists rows, those of excitatory neurons first, until there are more than half of all, and at most
 * seven more. codes: a byte for each neuron, a bit for each output. row_bytes: of a row of W_rec, and of the
 * spikes. flip: 0xFF lists the neurons that did not spike. Returns the end of the rows. */
unsigned *ec_list_rows(ec_list *list, const uint8_t *spikes, const uint8_t *codes, unsigned *rows,
                       unsigned n_exc, uint8_t row_bytes, uint8_t flip, uint8_t n_act);

/* A step of n outputs: see ec_filter.S. */
void ec_filter(int16_t *output, const int8_t *counts, uint8_t n, uint8_t shift, uint8_t gain);

#endif
