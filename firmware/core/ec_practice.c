#include "ec_practice.h"

#include "ec_episode.h"

bool ec_practice_read(ec_practice_terms *terms, const uint8_t *request)
{
    *terms = (ec_practice_terms){
        .generations = ec_get32(request),
        .first_seed = ec_get32(request + 4),
        .most_steps = ec_get32(request + 8),
        .period = ec_get32(request + 12),
        .silence_ms = ec_get32(request + 16),
        .patience_ms = ec_get32(request + 20),
        .most = {ec_get32(request + 24), ec_get32(request + 28), ec_get32(request + 32)},
        .episodes = ec_get16(request + 36),
        .save = ec_get16(request + 38),
    };
    return terms->generations > 0 && terms->most_steps > 0 && terms->period <= EC_PERIOD_MOST &&
           terms->episodes > 0;
}

void ec_practice_stop(ec_practice *practice, uint8_t state)
{
    if (practice->state == EC_PRACTICE_RUNS)
        practice->state = state;
}

static bool is_used_up(uint32_t spent, uint32_t most)
{
    return most > 0 && spent >= most;
}

uint8_t ec_practice_spent(const ec_practice *practice)
{
    const ec_budget *spent = &practice->spent, *most = &practice->terms.most;
    if (is_used_up(spent->episodes, most->episodes))
        return EC_PRACTICE_EPISODES;
    if (is_used_up(spent->steps, most->steps))
        return EC_PRACTICE_STEPS;
    return is_used_up(spent->ms, most->ms) ? EC_PRACTICE_TIME : EC_PRACTICE_RUNS;
}

uint32_t ec_practice_seed(const ec_practice *practice, uint32_t generation)
{
    return practice->terms.first_seed + generation * practice->terms.episodes + practice->episode;
}

int32_t ec_practice_fitness(int32_t fitness, int64_t total)
{
    int64_t sum = fitness + total;
    return sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}
