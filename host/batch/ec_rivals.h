/* Populations of networks that no device runs, for comparison with the one-bit network: real-valued
 * ones, and the one-bit network with wider state. As in ec_batch.h every member has its own weights
 * and state, functions return 0 or a negative EC_ERR_*, and results depend neither on threads nor on
 * the kernel: sums are added up in one order everywhere, and nothing is fused.
 *
 * Numbers go over as doubles. The shape is an ec_spec; what follows of it is said here and, in NumPy,
 * in tests/test_rivals.py. x is the input (n_obs), y the output (n_act), N the neurons or units.
 *
 * Spiking models: a control step is docs/MODEL.md's with drive x W_in, decays 1 - 2^-k, the threshold
 * 64, gains 2^g and 2^g_out, and
 *
 *   model    state    weights                   rounding, saturation
 *   rsnn     float    float                     float's
 *   float64  double   int8: -1, 0, 1            none to speak of
 *   int16    int16    int8: -1, 0, 1            shifts for decays; sat16 wherever MODEL.md has sat8
 *
 *   weights:  W_in n_obs x N | W_rec N x N, a row a presynaptic neuron | W_out n_act x N
 *
 * The one of int16 holds x, c and v in units of 2^-fraction; its x comes in these units. y is the
 * filtered output, 2048 for 1.0.
 *
 * Models that do not spike, all in float, h and c 0 at reset, sigma the logistic function:
 *
 *   gru       r, z = sigma(x W + h U + b)  n = tanh(x W + b + r (h U + d))  h = (1 - z) n + z h
 *   lstm      i, f, o = sigma(x W + h U + b)  g = tanh(x W + h U + b)  c = f c + i g  h = o tanh(c)
 *             y = h V + e
 *   mlp       c = max(0, x W + b)  h = max(0, c U + d)  y = h V + e      two layers, no memory
 *
 *   weights:  W n_obs x G N | U N x G N | b G N | d N, not lstm | V N x n_act | e n_act
 *   gates:    gru r z n, lstm i f g o, mlp one
 */
#ifndef EC_RIVALS_H
#define EC_RIVALS_H

#include "ec_policy.h"

#define EC_RIVAL_RSNN    0
#define EC_RIVAL_GRU     1
#define EC_RIVAL_LSTM    2
#define EC_RIVAL_MLP     3
#define EC_RIVAL_FLOAT64 4
#define EC_RIVAL_INT16   5

typedef struct ec_rivals ec_rivals;

/* Bytes of one member's weights. */
uint32_t ec_rivals_weight_bytes(const ec_spec *spec, uint32_t model);

/* `fraction` (0 ... 8) is int16's, else 0. `kernel` is a name of ec_batch_kernel_name, or NULL for the
 * best. NULL when something is not allowed or memory or threads are not to be had. */
ec_rivals *ec_rivals_create(const ec_spec *spec, uint32_t model, uint32_t fraction, uint32_t population,
                            uint32_t threads, const char *kernel);
void ec_rivals_destroy(ec_rivals *rivals);

/* Gives a member its weights: copies ec_rivals_weight_bytes. Members can be loaded by several threads
 * at once. */
int ec_rivals_load(ec_rivals *rivals, uint32_t member, const void *weights);

/* Brings all members to the state in which an episode begins. */
int ec_rivals_reset(ec_rivals *rivals);

/* One control step of the `count` members from `first` on: row 0 of input (count x n_obs), active and
 * output (count x n_act) is member `first`. Rows of members whose byte in `active` is 0 are left
 * untouched. On the pool of threads, one caller at a time; */
int ec_rivals_step(ec_rivals *rivals, const double *input, const uint8_t *active, double *output);
/* or on the caller's thread, several at once with members that do not overlap. */
int ec_rivals_step_part(ec_rivals *rivals, uint32_t first, uint32_t count, const double *input,
                        const uint8_t *active, double *output);

/* A member's state: c and v of a spiking model, h and c of others, N doubles each. */
int ec_rivals_state(const ec_rivals *rivals, uint32_t member, double *state);

/* Spikes and neuron substeps of all members since the batch was made; 0 and 0 where none spike. */
int ec_rivals_activity(const ec_rivals *rivals, uint64_t *spikes, uint64_t *neuron_substeps);

/* total[i] = sum over rows k of factor[k] noise[k][i], in the order of k: rows x columns floats. */
int ec_rivals_combine(const float *noise, const double *factor, uint32_t rows, uint32_t columns,
                      double *total);

#endif
