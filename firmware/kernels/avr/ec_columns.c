/* Synaptic sums for AVR: the core's, in bytes of planes instead of words. */
#include "ec_kernel.h"
#include "ec_sum.h"

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

/* What the sums begin with, before any row. */
EC_INLINE int16_t start_of(const ec_net *net)
{
    bool is_signed = net->policy->spec.form == EC_FORM_SIGNED;
    return (int16_t)-(int16_t)(is_signed ? (net->n_spiking + 1u) / 2u : net->n_inh_spiking);
}

/* S = count + start. With silent rows it is total + start - count, which is the complement of
 * ~total - start + count. */
APART static void sum_many(const ec_net *net, unsigned w, int16_t start, bool is_signed)
{
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
        uint8_t n = left < EC_FEW ? (uint8_t)left : EC_FEW;
        ec_sum_few(group, net->policy->w_rec + w, row, n, 1, 0);
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

/* S = 2 count - n from count + floor(-n / 2). */
APART static void double_sums(const ec_net *net)
{
    for (unsigned w = 0; w < net->policy->spec.n_neurons / 32u; w++) {
        uint32_t *sum = net->groups[w].sum;
        for (uint8_t b = 7; b > 0; b--)
            sum[b] = sum[b - 1];
        sum[0] = net->n_spiking & 1u ? 0xFFFFFFFFu : 0;
    }
}

APART static void sum_any(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    bool is_signed = spec->form == EC_FORM_SIGNED;
    int16_t start = start_of(net);
    for (unsigned w = 0; w < spec->n_neurons / 32u; w++)
        sum_many(net, w, start, is_signed);
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
    const ec_policy *policy = net->policy;
    uint8_t words = (uint8_t)(policy->spec.n_neurons / 32u);
    if (net->silent || net->n_rows > EC_FEW) {
        sum_any(net);
        return;
    }
    ec_sum_few(net->groups, policy->w_rec, net->rows, (uint8_t)net->n_rows, words, (int8_t)start_of(net));
    if (policy->spec.form == EC_FORM_SIGNED)
        double_sums(net);
}
