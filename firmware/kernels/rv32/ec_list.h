/* What ec_readout.c asks of assembly: the offsets are those in ec_list.S. */
#ifndef EC_LIST_H
#define EC_LIST_H

#include "ec_kernel.h"

/* The rows to be summed next, and the spikes that reach each output by a synapse, inhibitory spikes
 * less: fields of 0 ... 3 and 4 ... 7, which begin at 128 and hold for at most 64 spikes. */
typedef struct {
    uint32_t n_rows; /* 0 */
    uint32_t n_inh;  /* 4: of them */
    uint32_t low;    /* 8 */
    uint32_t high;   /* 12 */
} ec_list;

/* Lists all neurons that spiked, or those that did not where `flip` is all ones, until there are more
 * than half. */
void ec_list_rows(const ec_net *net, uint32_t flip, ec_list *list);

#endif
