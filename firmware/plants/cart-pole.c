/* The cart and pole of CartPole-v1 (Barto, Sutton and Anderson, 1983), computed on the device: a plant
 * to see device-clocked episodes by, and a pattern for a plant of your own. docs/PLANT.md.
 *
 * All numbers are fixed point, 24 bits of fraction: 2^24 is 1 m, rad, m/s, N. Every product is rounded
 * down. ecedge/plants/cart_pole.py computes the same, bit for bit.
 */
#include "ec_rig.h"

#include "ec_random.h"

#define FRACTION 24
#define ONE      ((int32_t)1 << FRACTION)

#define TAU         335544    /* 0.02 s a step */
#define GRAVITY     164416717 /* 9.8 m/s2 */
#define PUSH        152520145 /* 10 N on 1.1 kg */
#define POLE        762601    /* 0.1 kg of the pole at 0.5 m, by 1.1 kg */
#define INVERSE     27007226  /* 1 / (0.5 (4/3 - 0.1 / 1.1)): of the pole's inertia, upright; */
#define LEAN        1227601   /* 0.0731707: by how much it is less with the square of the sine */
#define SIXTH       2796203   /* of the sine's and cosine's series */
#define HUNDREDTH   139810    /* 1/120 */
#define HALF        8388608
#define FOURTH      699051    /* 1/24 */
#define X_LIMIT     40265318  /* 2.4 m */
#define ANGLE_LIMIT 3513812   /* 12 degrees */
#define START_SPAN  1677722   /* starts are within 0.05 of 0 */
#define START_LEAST (-838861)

enum { X, SPEED, ANGLE, RATE, STATES };

enum { NOT_ITS_POLICY = 1 };

static struct {
    const ec_policy *policy;
    int32_t state[STATES];
    bool right; /* where the cart is pushed */
} plant;

static int32_t product(int32_t a, int32_t b)
{
    int64_t p = (int64_t)a * b;
    return (int32_t)(p < 0 ? ~(~p >> FRACTION) : p >> FRACTION);
}

static uint32_t begin(void *context, const ec_policy *policy, uint32_t seed)
{
    (void)context;
    if (policy->spec.n_obs != STATES || policy->spec.n_act != 2)
        return NOT_ITS_POLICY;
    plant.policy = policy;
    for (uint32_t i = 0; i < STATES; i++) {
        int32_t share = (int32_t)(ec_random(seed, 0, i, 0).x0 >> (32 - FRACTION));
        plant.state[i] = START_LEAST + product(START_SPAN, share);
    }
    return 0;
}

static void sense(void *context, int16_t *raw, unsigned n)
{
    (void)context;
    for (unsigned i = 0; i < n; i++)
        raw[i] = ec_channel_count(&plant.policy->map[i], plant.state[i], FRACTION);
}

static void apply(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    plant.right = n == 2 && outputs[1] > outputs[0];
}

/* A step of Euler's, as the task takes it. Sine and cosine by their series: angles are small. */
static void move(int32_t *s, int32_t force)
{
    int32_t square = product(s[ANGLE], s[ANGLE]);
    int32_t sine = product(s[ANGLE], ONE - product(square, SIXTH - product(square, HUNDREDTH)));
    int32_t cosine = ONE - product(square, HALF - product(square, FOURTH));
    int32_t push = force + product(POLE, product(product(s[RATE], s[RATE]), sine));
    int32_t lean = product(LEAN, product(sine, sine));
    int32_t inverse = product(INVERSE, ONE - product(lean, ONE - lean));
    int32_t turn = product(product(GRAVITY, sine) - product(cosine, push), inverse);
    int32_t speed_up = push - product(product(POLE, turn), cosine);
    s[X] += product(TAU, s[SPEED]);
    s[SPEED] += product(TAU, speed_up);
    s[ANGLE] += product(TAU, s[RATE]);
    s[RATE] += product(TAU, turn);
}

/* A plant of iron moves by itself; this one moves here, where time has passed. */
static uint8_t judge(void *context, int32_t *reward)
{
    (void)context;
    int32_t *s = plant.state;
    move(s, plant.right ? PUSH : -PUSH);
    *reward = EC_REWARD_ONE;
    bool fallen = s[X] > X_LIMIT || s[X] < -X_LIMIT || s[ANGLE] > ANGLE_LIMIT || s[ANGLE] < -ANGLE_LIMIT;
    return fallen ? EC_PLANT_ENDED : EC_PLANT_GOES_ON;
}

/* Nobody pushes; outputs stay zero. */
static void safe(void *context, int16_t *outputs, unsigned n)
{
    (void)context;
    (void)outputs;
    (void)n;
}

ec_rig ec_rig_open(void)
{
    return (ec_rig){
        .apply = apply,
        .safe = safe,
        .plant = "cart-pole",
        .begin = begin,
        .sense = sense,
        .judge = judge,
    };
}
