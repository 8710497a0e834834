#include "ec_episode.h"

#include "ec_crc.h"

void ec_episode_begin(ec_episode *episode, uint32_t most, uint32_t period, uint32_t now)
{
    *episode = (ec_episode){
        .end = EC_END_RUNS,
        .most = most,
        .period = period,
        .due = now,
        .least_late = UINT32_MAX,
    };
}

void ec_episode_stop(ec_episode *episode, uint8_t end)
{
    if (episode->end == EC_END_RUNS)
        episode->end = end;
}

uint32_t ec_episode_wait(const ec_episode *episode, uint32_t now)
{
    uint32_t left = episode->due - now;
    return episode->period > 0 && left <= episode->period ? left : 0;
}

void ec_episode_start_step(ec_episode *episode, uint32_t now)
{
    uint32_t late = episode->period > 0 ? now - episode->due : 0;
    if (late < episode->least_late)
        episode->least_late = late;
    if (late > episode->most_late)
        episode->most_late = late;
    episode->sum_late += late;
}

void ec_episode_finish_step(ec_episode *episode, uint32_t now, int32_t reward)
{
    episode->steps++;
    episode->total += reward;
    if (episode->period > 0 && now - episode->due > episode->period) {
        episode->misses++;
        episode->due = now;
    } else {
        episode->due += episode->period;
    }
    if (episode->steps == episode->most)
        ec_episode_stop(episode, EC_END_STEPS);
}

void ec_episode_trace(ec_episode *episode, const int16_t *values, unsigned n)
{
    episode->crc = ec_crc32(episode->crc, values, 2u * n);
}

void ec_episode_put(const ec_episode *episode, uint8_t *reply)
{
    reply[2] = episode->end;
    reply[3] = 0;
    ec_put32(reply + 4, episode->steps);
    ec_put32(reply + 8, episode->clamps);
    ec_put32(reply + 12, episode->misses);
    ec_put32(reply + 16, episode->crc);
    ec_put32(reply + 20, 0);
    ec_put32(reply + 24, episode->steps > 0 ? episode->least_late : 0);
    ec_put32(reply + 28, episode->most_late);
    ec_put64(reply + 32, episode->sum_late);
    ec_put64(reply + 40, (uint64_t)episode->total);
}
