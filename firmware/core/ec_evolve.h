/* Natural Evolution Strategies on Bernoulli synapses: docs/MODEL.md sections 4 and 5. */
#ifndef EC_EVOLVE_H
#define EC_EVOLVE_H

#include "ec_policy.h"

#define EC_RHO16_LOW  66 /* epsilon = 0.001: no synapse is ever certain */
#define EC_RHO16_HIGH 65470
#define EC_RHO8_LOW   1
#define EC_RHO8_HIGH  255

/* ranks[k] = #{fitness < fitness[k]} - #{fitness > fitness[k]}; they sum to 0. */
int32_t ec_rank(const int32_t *fitness, uint32_t population, uint32_t k);
void ec_ranks(const int32_t *fitness, uint32_t population, int32_t *ranks);

/* -- a network that evolves where it runs ----------------------------------------------------------
 *
 * 8-bit probabilities lie in planes, 32 synapses in 8 words. Members are made again from their numbers:
 * one by one to run, word by word, all of them, for the update; but for those that the caller kept.
 *
 *   generation:  for each member: ec_evolve_sample, run, fitness;  ec_ranks;  ec_evolve_update
 *
 * Both verbs take words `first` ... `first + count - 1` of the stacked matrices, below n_words, so that
 * the caller decides how long a call lasts. Every word is sampled and updated by itself, in any order.
 */

/* Of 32 synapses: bit i is synapse i's, plane[0] the most significant one. */
typedef struct {
    uint32_t plane[8];
} ec_rho;

/* Bytes of memory behind the probabilities of a network: one a synapse. */
#define EC_EVOLVE_MEMORY(n_neurons, n_act, n_obs) \
    ((2u * (uint32_t)(n_obs) + (n_neurons) + (n_act)) * (uint32_t)(n_neurons))

typedef struct {
    ec_rho *rho;             /* n_words, the caller's */
    uint32_t n_words;        /* synapses / 32 */
    uint32_t inhibiting;     /* the first word whose synapses an image holds complemented, */
    uint32_t inhibiting_end; /* and the first behind it whose are not */
    uint32_t seed;
    uint32_t generation; /* the caller counts on when all words were updated */
    uint32_t step;       /* E of docs/MODEL.md section 5 */
    uint32_t kept;       /* so many first members' synapses, of this generation, */
    uint32_t *members;   /* lie here as ec_evolve_sample gave them: n_words each, the caller's */
} ec_evolve;

/* Sets all probabilities to a half, and seed, generation and step to 0: they are the caller's. No member
 * is kept. `memory` is 4-byte aligned; EC_ERR_CAPACITY unless `size` is at least EC_EVOLVE_MEMORY of the
 * network, EC_ERR_FIELD for a network outside the ranges. */
int ec_evolve_init(ec_evolve *evolve, const ec_spec *spec, void *memory, uint32_t size);

/* The same for probabilities that lie there already, of a network within the ranges and with enough
 * memory. */
void ec_evolve_place(ec_evolve *evolve, const ec_spec *spec, void *memory);

/* Synapses of a member, below 2^28, as a policy image holds them: `synapses` is the image's word
 * `first`, W_in's first word being word 0. */
void ec_evolve_sample(const ec_evolve *evolve, uint32_t member, uint32_t first, uint32_t count,
                      uint32_t *synapses);

/* The most probable synapses, as a policy image holds them: the deterministic policy. */
void ec_evolve_decide(const ec_evolve *evolve, uint32_t first, uint32_t count, uint32_t *synapses);

/* Sets the probabilities by a policy: `one` in 256 where the image has a synapse, 256 - one where it has
 * none; 128 makes all of them a coin. `synapses` are all of the image's, one is 1 ... 255. */
void ec_evolve_soften(ec_evolve *evolve, const uint32_t *synapses, uint8_t one);

/* The gradient of the 32 synapses of one word: the sum of ranks[k] theta_k over the population. No
 * sum of some of the ranks is beyond int32: ec_ranks gives such, up to 46341 members. */
void ec_evolve_gradient(const ec_evolve *evolve, uint32_t word, const int32_t *ranks, uint32_t population,
                        int32_t *gradient);

/* Moves the probabilities by their gradient, as ec_update_rho8 does. */
void ec_evolve_update(ec_evolve *evolve, uint32_t first, uint32_t count, const int32_t *ranks,
                      uint32_t population);

/* 32 bytes to planes and back. */
void ec_rho_pack(ec_rho *rho, const uint8_t *bytes);
void ec_rho_unpack(const ec_rho *rho, uint8_t *bytes);

/* -- probabilities as numbers: a host's -------------------------------------------------------------- */

/* 32 synapses of one member: word `word` of the stacked matrices. `rho` is that word's 32
 * probabilities. */
uint32_t ec_sample_word16(const uint16_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                          uint32_t word);

/* Moves `count` probabilities by step * gradient / 2^32, clipped to the bounds above. The 8-bit form
 * rounds at random, so it must know where in the network it is: `first`, an even synapse index. */
void ec_update_rho16(uint16_t *rho, const int32_t *gradient, uint32_t count, uint32_t step);
void ec_update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step, uint32_t seed,
                    uint32_t generation, uint32_t first);

#endif
