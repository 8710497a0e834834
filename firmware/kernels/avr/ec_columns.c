/* Synaptic sums for AVR: the core's, in bytes of planes instead of words. */
#include "ec_kernel.h"

#define BYTES       4u  /* of a word of planes */
#define MANY_PLANES 12u /* -1024 ... 1024 */
#define FEW_NEURONS 127u /* whose sums need no more than 8 planes */
#define MOST_PLANES (1u + MANY_PLANES)

/* Apart, so that the usual way through ec_columns saves few registers. */
#define APART __attribute__((noinline))

/* The number for all eight. */
static void set_planes(uint8_t *plane, uint8_t planes, int16_t value)
{
    for (uint16_t bits = (uint16_t)value; planes; planes--, bits >>= 1)
        *plane++ = bits & 1u ? 0xFF : 0;
}

/* Adds the complement of total, `planes` of it. */
static void add_total(uint8_t *plane, uint8_t planes, const uint8_t *total)
{
    uint8_t carry = 0;
    for (uint8_t b = 0; b < planes; b++, total += BYTES) {
        uint8_t bits = b < EC_TOTAL_PLANES ? (uint8_t)~*total : 0xFF;
        uint8_t half = plane[b] ^ bits;
        uint8_t next = (plane[b] & bits) | (half & carry);
        plane[b] = half ^ carry;
        carry = next;
    }
}

/* Adds what few rows gave: five planes of counts. */
static void add_count(uint8_t *plane, uint8_t planes, const uint8_t *count)
{
    uint8_t carry = 0;
    for (uint8_t b = EC_FEW_PLANES - 1; b; b--, plane++, count += BYTES) {
        uint8_t half = *plane ^ *count;
        uint8_t next = (*plane & *count) | (half & carry);
        *plane = half ^ carry;
        carry = next;
    }
    for (uint8_t b = EC_FEW_PLANES - 1; b < planes && carry; b++, plane++) {
        uint8_t next = *plane & carry;
        *plane ^= carry;
        carry = next;
    }
}

/* Into the group's sum, saturated to int8. */
static void put_saturated(uint8_t *to, const uint8_t *plane, uint8_t planes)
{
    uint8_t sign = plane[planes - 1];
    uint8_t over = 0;
    for (uint8_t b = 7; b + 1 < planes; b++)
        over |= plane[b] ^ sign;
    uint8_t most = over & (uint8_t)~sign;
    uint8_t keep = (uint8_t)~over;
    for (uint8_t b = 0; b < 7; b++, to += BYTES)
        *to = (plane[b] & keep) | most;
    *to = sign;
}

/* S = count + start. With silent rows it is total + start - count, which is the complement of
 * ~total - start + count. */
APART static void sum_many(const ec_net *net, unsigned w, int16_t start, bool is_signed)
{
    static const uint32_t zero[EC_FEW_PLANES] = {0};
    ec_group *group = &net->groups[w];
    uint8_t *sum = (uint8_t *)group->sum;
    uint8_t planes = net->policy->spec.n_neurons <= FEW_NEURONS ? 8 : MANY_PLANES;
    uint8_t plane[BYTES][MOST_PLANES];
    const unsigned *row = net->rows;
    for (unsigned byte = 0; byte < BYTES; byte++) {
        uint8_t *sums = plane[byte] + is_signed;
        set_planes(sums, planes, net->silent ? (int16_t)-start : start);
        if (net->silent)
            add_total(sums, planes, (const uint8_t *)(net->total + EC_TOTAL_PLANES * w) + byte);
    }
    for (unsigned left = net->n_rows; left;) {
        unsigned n = left < EC_FEW ? left : EC_FEW;
        ec_add_few(group, net->policy->w_rec + w, row, n, 1, zero);
        for (unsigned byte = 0; byte < BYTES; byte++)
            add_count(plane[byte] + is_signed, planes, sum + byte);
        row += n;
        left -= n;
    }
    for (unsigned byte = 0; byte < BYTES; byte++) {
        uint8_t *sums = plane[byte];
        if (net->silent) {
            for (uint8_t b = 0; b < planes; b++)
                sums[b + is_signed] ^= 0xFF;
        }
        if (is_signed)
            sums[0] = net->n_spiking & 1u ? 0xFF : 0;
        put_saturated(sum + byte, sums, (uint8_t)(planes + is_signed));
    }
}

/* Into the planes of ec_add_few, which looks at the lowest byte of each. */
static void sum_few(const ec_net *net, int8_t start)
{
    uint32_t plane[EC_FEW_PLANES];
    uint8_t bits = (uint8_t)start;
    for (uint8_t b = 0; b < EC_FEW_PLANES; b++, bits >>= 1)
        *(uint8_t *)&plane[b] = bits & 1u ? 0xFF : 0;
    ec_add_few(net->groups, net->policy->w_rec, net->rows, net->n_rows, net->policy->spec.n_neurons / 32u,
               plane);
}

/* S = 2 count - n from count + floor(-n / 2). */
APART static void double_sum(uint32_t *sum, unsigned n)
{
    for (uint8_t b = 7; b > 0; b--)
        sum[b] = sum[b - 1];
    sum[0] = n & 1u ? 0xFFFFFFFFu : 0;
}

void ec_columns_prepare(ec_net *net)
{
    const ec_policy *policy = net->policy;
    unsigned n = policy->spec.n_neurons;
    unsigned words = n / 32u;
    for (unsigned w = 0; w < words; w++) {
        uint32_t *total = net->total + EC_TOTAL_PLANES * w;
        for (unsigned b = 0; b < EC_TOTAL_PLANES; b++)
            total[b] = 0;
        for (unsigned i = 0; i < n; i++)
            ec_planes_add(total, 0, EC_TOTAL_PLANES, policy->w_rec[i * words + w]);
    }
}

void ec_columns(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    bool is_signed = spec->form == EC_FORM_SIGNED;
    unsigned n = net->n_spiking;
    int16_t start = (int16_t)-(int16_t)(is_signed ? (n + 1u) / 2u : net->n_inh_spiking);
    bool few = !net->silent && net->n_rows <= EC_FEW;
    if (few)
        sum_few(net, (int8_t)start);
    if (few && !is_signed)
        return;
    for (unsigned w = 0; w < spec->n_neurons / 32u; w++) {
        if (few)
            double_sum(net->groups[w].sum, n);
        else
            sum_many(net, w, start, is_signed);
    }
}
