/* The network alone: what an application links that embeds a policy, without ecedge's device. */
#include "ec_config.h"
#include "ec_net.h"
#include "policy.h"

static uint32_t memory[(EC_NET_MEMORY(EC_MAX_NEURONS, EC_MAX_ACT, EC_MAX_OBS) + 3u) / 4u];
static int16_t counts[EC_MAX_OBS];
static ec_policy policy;
static ec_net net;

int main(void)
{
    if (ec_policy_open(&policy, ec_policy_image, EC_POLICY_IMAGE_SIZE) != 0 ||
        ec_net_init(&net, &policy, memory, sizeof memory) != 0)
        return 1;
    for (;;)
        ec_net_step(&net, counts);
}
