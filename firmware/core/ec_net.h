/* The network: state, control step, digest, golden trace. docs/MODEL.md sections 1 and 6. */
#ifndef EC_NET_H
#define EC_NET_H

#include "ec_policy.h"

/* Bytes of memory behind one network: give ec_net_init a 4-byte aligned block of this size.
 *   spikes N/8 | output 2 n_act (filled to 4) | current N | membrane N | drive N | spike list 2 N
 */
#define EC_NET_MEMORY(n_neurons, n_act) (5u * (n_neurons) + (n_neurons) / 8u + 4u * (((n_act) + 1u) / 2u))

typedef struct {
    const ec_policy *policy;
    uint32_t *spikes;       /* N bits */
    int16_t *output;        /* n_act */
    int8_t *current;        /* N */
    int8_t *membrane;       /* N */
    int8_t *drive;          /* N: x of this control step */
    uint16_t *spiking;      /* list of the neurons that spiked in the last substep */
    uint16_t n_spiking;     /* its length */
    uint16_t n_inh_spiking; /* how many of them inhibit */
    uint32_t spike_count;   /* spikes in all substeps of the last control step */
} ec_net;

/* Lays the state out in `memory` and resets it. `size` is at least EC_NET_MEMORY of the policy's
 * network, else EC_ERR_CAPACITY. The policy must outlive the net. */
int ec_net_init(ec_net *net, const ec_policy *policy, void *memory, uint32_t size);

/* To the state in which every episode begins. */
void ec_net_reset(ec_net *net);

/* One control step: `raw` holds n_obs counts, the result lies in net->output. */
void ec_net_step(ec_net *net, const int16_t *raw);

/* Runs the digest on over the state; 0 begins. */
uint32_t ec_net_digest(const ec_net *net, uint32_t crc);

/* Bytes of the state in the order of the digest, and a copy of some of them. Reading beyond the
 * end is EC_ERR_ARGUMENT. */
uint32_t ec_net_state_size(const ec_net *net);
int ec_net_state_read(const ec_net *net, uint32_t offset, uint8_t *bytes, uint32_t length);

/* Resets, runs the policy's golden trace, resets again. `crc` gets what came out. 0, or
 * EC_ERR_GOLDEN if that is not what the image says, or it says 0 steps, which prove nothing. `raw`
 * is room for n_obs counts. */
int ec_net_golden(ec_net *net, int16_t *raw, uint32_t *crc);

#endif
