/* A policy that evolves in the memory of uploads: docs/LINK.md, EVOLVE.
 *
 *     policy RAM   | policy image | probabilities, a byte a synapse | ranks, 4 bytes a member |
 *                    \_ its synapses are drawn anew for every member
 *
 *     and behind   | confirmed synapses, as the image has them | record | record | ... |
 *     it, if there \_ none of these, unless all of them fit     \_ of a generation, 12 bytes and
 *     is room                                                      4 a member
 *
 *     and behind   | synapses of member 0 | member 1 | ... |
 *     the record of this generation, as far as there is room
 */
#ifndef EC_LEARN_H
#define EC_LEARN_H

#include "ec_evolve.h"
#include "ec_practice.h"

#define EC_POPULATION_LEAST 2u
#define EC_POPULATION_MOST  16000u
#define EC_MEMBER_DECIDED   UINT32_MAX        /* no member: the deterministic policy */
#define EC_MEMBER_CONFIRMED (UINT32_MAX - 1u) /* nor is this: the policy that was confirmed last */

/* What a generation that the device ran by itself came to. */
typedef struct {
    uint32_t rho_hash; /* of the probabilities that it led to */
    uint32_t steps;
    uint32_t faults;   /* episodes that ended because the plant asked for safety */
    int32_t fitness[]; /* of each member */
} ec_record;

/* Of a learner that was begun; zeros: nothing evolves. */
typedef struct {
    ec_evolve evolve;
    uint32_t *synapses;  /* the image's */
    int32_t *ranks;      /* population */
    uint16_t population; /* 0: nothing evolves */
    uint16_t keeps;      /* members of this generation that there is room for */
    uint32_t learned;    /* words of the probabilities that moved already in this generation */
    uint32_t *confirmed; /* synapses; null without room */
    uint32_t *records;
    uint32_t records_most; /* that there is room for */
    ec_practice practice;
} ec_learner;

/* Bytes of memory for a policy with its probabilities and ranks. */
uint32_t ec_learn_memory(const ec_policy *policy, uint16_t population);

/* Begins with the policy whose image lies at the beginning of `memory`, softened as ec_evolve_soften
 * does; it is the confirmed one then. Seed, generation and step are 0: they are the caller's.
 * EC_ERR_CAPACITY unless `size` is ec_learn_memory; nothing changes then. */
int ec_learn_begin(ec_learner *learner, const ec_policy *policy, void *memory, uint32_t size,
                   uint16_t population, uint8_t one);

/* Where the memory holds all of that already, as it was saved: nothing of it changes. Its numbers are the
 * caller's. EC_ERR_CAPACITY as above, EC_ERR_ARGUMENT for a population outside its range. */
int ec_learn_go_on(ec_learner *learner, const ec_policy *policy, void *memory, uint32_t size,
                   uint16_t population);

/* Bytes from `memory` to the end of the last record. */
uint32_t ec_learn_used(const ec_learner *learner, const void *memory);

/* Draws a member into the image, or the deterministic policy, or copies the confirmed one there, which
 * must have room. The image's CRC, hash and golden trace say nothing of it; a network on it is to be laid
 * out anew. Since ec_learn_drop_records or the generation's begin, members that are drawn in their order,
 * 0 first, are kept as far as there is room: learning reads those, and draws the others again. */
void ec_learn_draw(ec_learner *learner, uint32_t member);

/* Confirms a member, or the deterministic policy, without a look at the image. There must be room. */
void ec_learn_confirm(ec_learner *learner, uint32_t member);

/* Ranks of `count` members from `first` on, an i16 each; all of them members. */
void ec_learn_rank(ec_learner *learner, uint32_t first, const uint8_t *ranks, uint32_t count);

/* Moves the probabilities of the next `count` words, as far as there are so many. With the last ones the
 * generation is over. */
void ec_learn_move(ec_learner *learner, uint32_t count);

/* Drops all records, also one that is being made: those to come begin from the probabilities of now.
 * Their hash. */
uint32_t ec_learn_drop_records(ec_learner *learner);

/* In the middle of a generation's ec_learn_move: drops all records but its own. */
void ec_learn_drop_whole_records(ec_learner *learner);

/* The record of a generation from practice.first_record on, fewer than records_most later. */
ec_record *ec_learn_record(const ec_learner *learner, uint32_t generation);

/* CRC-32 of the probabilities as they lie in memory: planes, little-endian words. */
uint32_t ec_learn_hash(const ec_learner *learner);

#endif
