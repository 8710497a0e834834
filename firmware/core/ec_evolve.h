/* Natural Evolution Strategies on Bernoulli synapses: docs/MODEL.md sections 4 and 5. */
#ifndef EC_EVOLVE_H
#define EC_EVOLVE_H

#include "ec_base.h"

#define EC_RHO16_LOW  66 /* epsilon = 0.001: no synapse is ever certain */
#define EC_RHO16_HIGH 65470
#define EC_RHO8_LOW   1
#define EC_RHO8_HIGH  255

/* 32 synapses of one member: word `word` of the stacked matrices. `rho` is that word's 32
 * probabilities. */
uint32_t ec_sample_word16(const uint16_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                          uint32_t word);
uint32_t ec_sample_word8(const uint8_t *rho, uint32_t seed, uint32_t generation, uint32_t member,
                         uint32_t word);

/* ranks[k] = #{fitness < fitness[k]} - #{fitness > fitness[k]}; they sum to 0. */
void ec_ranks(const int32_t *fitness, uint32_t population, int32_t *ranks);

/* Moves `count` probabilities by step * gradient / 2^32, clipped to the bounds above. The 8-bit form
 * rounds at random, so it must know where in the network it is: `first`, an even synapse index. */
void ec_update_rho16(uint16_t *rho, const int32_t *gradient, uint32_t count, uint32_t step);
void ec_update_rho8(uint8_t *rho, const int32_t *gradient, uint32_t count, uint32_t step, uint32_t seed,
                    uint32_t generation, uint32_t first);

#endif
