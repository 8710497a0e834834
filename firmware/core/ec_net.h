/* The network: state, control step, digest, golden trace. docs/MODEL.md sections 1 and 6. */
#ifndef EC_NET_H
#define EC_NET_H

#include "ec_policy.h"

/* Bytes of memory behind one network: give ec_net_init a 4-byte aligned block of this size.
 *   groups 4 N | codes N | rows, an unsigned each | totals 11/8 N | spikes N/8
 *   | output 2 n_act, input n_obs, both filled to 4
 */
#define EC_ROW_SIZE            ((uint32_t)sizeof(unsigned))
#define EC_NET_ROWS(n_neurons) ((n_neurons) < 64u ? (n_neurons) : (n_neurons) / 2u + 32u)
#define EC_NET_MEMORY(n_neurons, n_act, n_obs)                                            \
    (5u * (n_neurons) + EC_ROW_SIZE * EC_NET_ROWS(n_neurons) + 12u * ((n_neurons) / 8u) + 4u * (((n_act) + 1u) / 2u) + \
     4u * (((n_obs) + 3u) / 4u))

#define EC_TOTAL_PLANES 11u /* 0 ... 1024 */

/* What 32 neurons have. Each is 32 int8, laid out as ec_update.c likes it; sum in planes. */
typedef struct {
    uint32_t current[8];
    uint32_t membrane[8];
    uint32_t drive[8]; /* x of this control step */
    uint32_t sum[8];   /* S of this substep */
} ec_group;

typedef struct {
    const ec_policy *policy;
    uint32_t *spikes;       /* N bits */
    int16_t *output;        /* n_act */
    ec_group *groups;       /* N / 32 */
    uint32_t *total;        /* EC_TOTAL_PLANES for each 32 neurons: S if all spiked and none inhibited */
    uint8_t *codes;         /* N, in the order of ec_readout.c: bit a is the synapse to output a < 8 */
    int8_t *input;          /* n_obs: q of this control step */
    unsigned *rows;         /* byte offsets in W_rec of the rows to be summed */
    uint16_t n_rows;        /* their number: of the neurons that spiked in the last substep, */
    bool silent;            /* or of those that did not, where those are fewer */
    uint16_t n_spiking;     /* neurons that spiked in the last substep */
    uint16_t n_inh_spiking; /* how many of them inhibit */
    uint32_t spike_count;   /* spikes in all substeps of the last control step */
} ec_net;

/* EC_NET_MEMORY of a network. */
uint32_t ec_net_memory(const ec_spec *spec);

/* Lays the state out in `memory` and resets it. `size` is at least ec_net_memory of the policy's
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
