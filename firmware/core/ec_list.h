/* Which rows are summed next, and what the outputs hear of the spikes: between ec_readout.c and
 * ec_list.c, which a folder of firmware/kernels may replace. The offsets are those in its ec_list.S.
 */
#ifndef EC_LIST_H
#define EC_LIST_H

#include "ec_kernel.h"

#define EC_LIST_FIELDS 4u          /* counts of 8 bits in a word, */
#define EC_LIST_MIDDLE 128         /* which begin here */
#define EC_LIST_COUNTS 0x80808080u /* in all fields */

/* The rows to be summed next, and the spikes that reach each output by a synapse, inhibitory spikes
 * less: fields of 0 ... 3 and 4 ... 7, which hold for at most 64 spikes. */
typedef struct {
    uint32_t n_rows; /* 0 */
    uint32_t n_inh;  /* 4: of them */
    uint32_t low;    /* 8 */
    uint32_t high;   /* 12: only where there are more outputs than in `low` */
} ec_list;

/* Lists all neurons that spiked, or those that did not where `flip` is all ones, into net->rows until
 * there are more than half. */
void ec_list_rows(const ec_net *net, uint32_t flip, ec_list *list);

/* Neurons of a word are taken one by one in the order that the core finds fastest: neuron i of 32 at
 * place 0 ... 31, where its code lies too. */
#if defined(__ARM_FEATURE_CLZ) || defined(__riscv_zbb) || defined(__x86_64__) || defined(__aarch64__)
#define EC_LIST_FROM_TOP 1
#else
#define EC_LIST_FROM_TOP   0
#define EC_LIST_DE_BRUIJN 0x077CB531u
#endif

/* From the top down where the core counts zeros, else where one multiplication finds its bit. Leiserson,
 * Prokop, Randall: Using de Bruijn Sequences to Index a 1 in a Computer Word (1998). */
EC_INLINE unsigned ec_list_place(unsigned i)
{
#if EC_LIST_FROM_TOP
    return 31u - i;
#else
    return (unsigned)((EC_LIST_DE_BRUIJN << i) >> 27);
#endif
}

/* Which bits are excitatory neurons in a word that begins n_exc neurons before the inhibitory ones. */
EC_INLINE uint32_t ec_excitatory_bits(int32_t n_exc)
{
    return n_exc >= 32 ? 0xFFFFFFFFu : n_exc > 0 ? ((uint32_t)1 << n_exc) - 1 : 0;
}

#endif
