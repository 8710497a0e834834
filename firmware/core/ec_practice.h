/* Practice: generations that a device runs by itself, on its own plant. What was agreed, where it
 * stands and what was spent; docs/LINK.md, PRACTICE. ec_device_practice.c takes it from turn to turn:
 *
 *     for each member:        DRAW, then for each episode:  BEGIN (until the plant is ready), ACT ...
 *     for the generation:     RANK, a member a turn;  MOVE, a word a turn
 */
#ifndef EC_PRACTICE_H
#define EC_PRACTICE_H

#include "ec_base.h"

#define EC_PRACTICE_SIZE 40u /* bytes of the terms in a request */

/* Whether it goes on, and why it does not. */
enum {
    EC_PRACTICE_NONE, /* there was none since EVOLVE */
    EC_PRACTICE_RUNS,
    EC_PRACTICE_DONE,    /* it has all its generations */
    EC_PRACTICE_STOPPED, /* another request ended it */
    EC_PRACTICE_SILENCE,
    EC_PRACTICE_PLANT,    /* the plant did not become ready */
    EC_PRACTICE_EPISODES, /* that much was allowed: episodes, */
    EC_PRACTICE_STEPS,    /* steps, */
    EC_PRACTICE_TIME      /* milliseconds */
};

enum { EC_PHASE_DRAW, EC_PHASE_BEGIN, EC_PHASE_ACT, EC_PHASE_RANK, EC_PHASE_MOVE };

/* What is spent by practice on the plant. As a limit: 0 is none. */
typedef struct {
    uint32_t episodes;
    uint32_t steps;
    uint32_t ms;
} ec_budget;

typedef struct {
    uint32_t generations; /* 1 or more */
    uint32_t first_seed;
    uint32_t most_steps;  /* of an episode, 1 or more */
    uint32_t period;      /* ticks, at most EC_PERIOD_MOST; 0: as fast as the device can */
    uint32_t silence_ms;  /* 0: it needs no host */
    uint32_t patience_ms; /* how long the plant may say no to an episode */
    ec_budget most;
    uint16_t episodes; /* of a member, 1 or more */
    uint16_t save;     /* generations from one snapshot to the next; 0: none */
} ec_practice_terms;

/* All zeros: there was none. */
typedef struct {
    ec_practice_terms terms;
    uint8_t state;         /* EC_PRACTICE_... */
    uint8_t phase;         /* EC_PHASE_..., also where it was stopped */
    uint16_t member;       /* that acts, or that is ranked next */
    uint16_t episode;      /* of this member */
    uint32_t until;        /* the generation that is none of it any more */
    uint32_t first_record; /* the generation of the first record that is kept, */
    uint32_t first_hash;   /* and of the probabilities that it began with */
    uint32_t turn_ms;      /* when the last turn was */
    uint32_t ready_ms;     /* since when the plant is asked for an episode */
    uint32_t reason;       /* of its last refusal */
    uint32_t faults;       /* since EVOLVE: episodes that ended because it asked for safety, */
    ec_budget spent;       /* and all that was spent */
} ec_practice;

/* False where a field is outside its range. */
bool ec_practice_read(ec_practice_terms *terms, const uint8_t *request);

/* Ends one that runs; any other keeps its state. */
void ec_practice_stop(ec_practice *practice, uint8_t state);

/* EC_PRACTICE_RUNS, or which budget is used up. */
uint8_t ec_practice_spent(const ec_practice *practice);

/* The seed of the next episode: the same for all members of a generation. */
uint32_t ec_practice_seed(const ec_practice *practice, uint32_t generation);

/* Fitness, with another episode's return on top of it, kept to 32 bits. */
int32_t ec_practice_fitness(int32_t fitness, int64_t total);

#endif
