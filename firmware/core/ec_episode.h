/* An episode on the device's own plant: when its steps are due, and what it came to. docs/LINK.md
 * section 3. By the device's clock it is
 *
 *     ec_episode_begin(&episode, ..., ticks())
 *     while ec_episode_wait(&episode, ticks()) > 0: do something else
 *     ec_episode_start_step(&episode, ticks())
 *     sense, step, apply
 *     ec_episode_finish_step(&episode, ticks(), reward)
 */
#ifndef EC_EPISODE_H
#define EC_EPISODE_H

#include "ec_base.h"

#define EC_PERIOD_MOST  0x40000000u /* ticks */
#define EC_EPISODE_SIZE 48u         /* bytes of it in a reply */

enum {
    EC_END_NONE, /* there was no episode since power on */
    EC_END_RUNS,
    EC_END_DONE,    /* the plant ended it */
    EC_END_STEPS,   /* it has all its steps */
    EC_END_STOPPED, /* another request ended it */
    EC_END_SILENCE,
    EC_END_FAULT /* the plant asked for safety */
};

/* Lateness is of a step's begin, against when it was due. */
typedef struct {
    uint8_t end;     /* EC_END_... */
    uint32_t most;   /* steps */
    uint32_t period; /* ticks; 0: as fast as the device can */
    uint32_t due;    /* when the next step shall begin */
    uint32_t steps;
    uint32_t clamps;
    uint32_t misses; /* steps that did not end within their period */
    uint32_t least_late;
    uint32_t most_late;
    uint64_t sum_late;
    int64_t total; /* of rewards: 2^32 of 32 bits fit */
    uint32_t crc;  /* of every step's counts and of the outputs applied */
} ec_episode;

/* Its first step is due at once. most: 1 or more; period: 0 ... EC_PERIOD_MOST. */
void ec_episode_begin(ec_episode *episode, uint32_t most, uint32_t period, uint32_t now);

/* Ends one that runs; any other keeps its end. */
void ec_episode_stop(ec_episode *episode, uint8_t end);

/* Ticks until the next step is due. */
uint32_t ec_episode_wait(const ec_episode *episode, uint32_t now);

/* Around a step. What doesn't end within its period is a miss: then the next step is due at once, and
 * the schedule goes on from there, so that steps never come in bursts. Ends the episode with its last
 * step. */
void ec_episode_start_step(ec_episode *episode, uint32_t now);
void ec_episode_finish_step(ec_episode *episode, uint32_t now, int32_t reward);

/* Runs the trajectory's CRC on over n counts or outputs. */
void ec_episode_trace(ec_episode *episode, const int16_t *values, unsigned n);

/* Writes RESULT's reply, EC_EPISODE_SIZE bytes, but its first two. */
void ec_episode_put(const ec_episode *episode, uint8_t *reply);

#endif
