/* Whole populations of one network shape, for training: every member has its own synapses and state,
 * all share the observation map. The arithmetic is docs/MODEL.md's, bit for bit; the kernels are
 * chosen at run time for the processor at hand and spread over threads.
 *
 * All functions return 0 or a count, else a negative EC_ERR_*. Arrays are row-major, one row a
 * member. Results do not depend on the number of threads. One caller at a time for each batch, but
 * where it says otherwise.
 */
#ifndef EC_BATCH_H
#define EC_BATCH_H

#include "ec_limit.h"
#include "ec_policy.h"

#define EC_ERR_NOT_FINITE -32 /* beyond those of ec_base.h: an observation is infinite or no number */

typedef struct ec_batch ec_batch;

/* The kernels that this machine can run, best first; NULL beyond the last. */
const char *ec_batch_kernel_name(uint32_t index);

/* `kernel` is a name from above, or NULL for the best. NULL when the spec is not allowed, the kernel
 * cannot run here, or memory or threads are not to be had. */
ec_batch *ec_batch_create(const ec_spec *spec, uint32_t population, uint32_t threads, const char *kernel);
void ec_batch_destroy(ec_batch *batch);
const char *ec_batch_kernel(const ec_batch *batch);

/* The observation map of all members: n_obs channels. */
int ec_batch_map(ec_batch *batch, const ec_channel *map);

/* What acting keeps the outputs to from now on: n_act limits. The slew counts from what a member
 * applied last, after a reset from 0. */
int ec_batch_limit(ec_batch *batch, const ec_limit *limits);

/* Plain synapses of one member: n_words words as docs/MODEL.md stacks them. */
int ec_batch_load(ec_batch *batch, uint32_t member, const uint32_t *synapses);
int ec_batch_store(const ec_batch *batch, uint32_t member, uint32_t *synapses);

/* Samples every member: row k becomes member first + k of (seed, generation). rho16 or rho8 holds
 * n_synapses probabilities, the other is NULL. */
int ec_batch_sample(ec_batch *batch, const uint16_t *rho16, const uint8_t *rho8, uint32_t seed,
                    uint32_t generation, uint32_t first);

/* G of docs/MODEL.md section 5: `ranks` (population) sum to 0 and are, like the
 * population, below 2^14 in size; `gradient` gets n_synapses sums. */
int ec_batch_gradient(ec_batch *batch, const int32_t *ranks, int32_t *gradient);

/* Resets the members whose byte in `which` is not 0; NULL means all. */
int ec_batch_reset(ec_batch *batch, const uint8_t *which);

/* One control step of the members whose byte in `active` is not 0 (NULL: all).
 * raw: population x n_obs counts; output: population x n_act, rows of inactive members untouched. */
int ec_batch_step(ec_batch *batch, const int16_t *raw, const uint8_t *active, int16_t *output);

/* One control step of the `count` members from `first` on, in the terms of a task: row 0 of all arrays
 * is member `first`. observations: count x n_obs; actions, of outputs within the limits, go to
 * `continuous` (count x n_act), between the bounds `low` and `high` (n_act), or to `discrete` (count);
 * the other is NULL. Rows of members whose byte in `active` is 0 are neither read nor written.
 * EC_ERR_NOT_FINITE: which members made the step is not known. All members at once share the batch's
 * threads; parts are done on the caller's, several at once if they do not overlap. */
int ec_batch_act(ec_batch *batch, uint32_t first, uint32_t count, const double *observations,
                 const uint8_t *active, const float *low, const float *high, float *continuous,
                 int64_t *discrete);

/* The state of one member in the order of the digest: 2 N + N/8 + 2 n_act bytes. */
int ec_batch_state(const ec_batch *batch, uint32_t member, uint8_t *state);

/* Spikes and neuron substeps of all members since the batch was made: their ratio is the activity. */
int ec_batch_activity(const ec_batch *batch, uint64_t *spikes, uint64_t *neuron_substeps);

#endif
