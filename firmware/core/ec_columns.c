/* Synaptic sums: rows of spiking neurons are added as bits into counters of 32 neurons a word, so
 * that eight rows cost seven full adders for 32 neurons. With more than half of the neurons spiking
 * the rows of the others are subtracted from the sum of all. */
#include "ec_kernel.h"

#define MANY_PLANES 12u /* -1024 ... 1024 */
#define STRIDE      (1 + MANY_PLANES)

/* Words at a time. On RISC-V ec_add_few has registers for two, and takes as long for one. */
#ifdef __riscv
#define WORDS 2u
#else
#define WORDS 1u
#endif

/* Adds any number of rows, in parts that few planes hold. */
static void add_many(const ec_net *net, unsigned first, unsigned words, uint32_t *planes)
{
    static const uint32_t zero[EC_FEW_PLANES] = {0};
    ec_group *group = &net->groups[first];
    const unsigned *row = net->rows;
    for (unsigned left = net->n_rows; left;) {
        unsigned n = left < EC_FEW ? left : EC_FEW;
        ec_add_few(group, net->policy->w_rec + first, row, n, words, zero);
        for (unsigned w = 0; w < words; w++) {
            uint32_t *plane = planes + STRIDE * w;
            uint32_t carry = 0;
            EC_UNROLL for (unsigned b = 0; b < EC_FEW_PLANES - 1; b++)
                carry = ec_full_add(&plane[b], group[w].sum[b], carry);
            ec_planes_add(plane, EC_FEW_PLANES - 1, MANY_PLANES, carry);
        }
        row += n;
        left -= n;
    }
}

/* S = count + start, in planes. With silent rows it is total + start - count, which is the complement
 * of ~total - start + count. */
static void sum_many(const ec_net *net, unsigned first, unsigned words, int32_t start,
                     uint32_t *planes)
{
    uint32_t flip = net->silent ? 0xFFFFFFFFu : 0;
    int32_t from = net->silent ? -start : start;
    for (unsigned w = 0; w < words; w++) {
        uint32_t *plane = planes + STRIDE * w;
        const uint32_t *total = net->total + EC_TOTAL_PLANES * (first + w);
        uint32_t carry = 0;
        EC_UNROLL for (unsigned b = 0; b < MANY_PLANES; b++) plane[b] = ec_plane_of(from, b);
        if (net->silent) {
            EC_UNROLL for (unsigned b = 0; b < MANY_PLANES; b++)
                carry = ec_full_add(&plane[b], b < EC_TOTAL_PLANES ? ~total[b] : flip, carry);
        }
    }
    add_many(net, first, words, planes);
    for (unsigned w = 0; w < words; w++)
        for (unsigned b = 0; b < MANY_PLANES; b++)
            planes[STRIDE * w + b] ^= flip;
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

EC_APART void double_sums(ec_net *net, unsigned words)
{
    for (unsigned w = 0; w < words; w++) {
        uint32_t *sum = net->groups[w].sum;
        for (unsigned b = 7; b > 0; b--)
            sum[b] = sum[b - 1];
        sum[0] = ec_plane_of(net->n_spiking, 0);
    }
}

EC_APART void columns_of_many(ec_net *net, unsigned words, int32_t start, bool is_signed)
{
    for (unsigned first = 0; first < words; first += WORDS) {
        uint32_t planes[WORDS * STRIDE];
        unsigned some = words - first < WORDS ? words - first : WORDS;
        sum_many(net, first, some, start, planes + is_signed);
        for (unsigned w = 0; w < some; w++) {
            uint32_t *plane = planes + STRIDE * w;
            if (is_signed)
                plane[0] = ec_plane_of(net->n_spiking, 0);
            ec_planes_saturate(plane, MANY_PLANES + is_signed);
            for (unsigned b = 0; b < 8; b++)
                net->groups[first + w].sum[b] = plane[b];
        }
    }
}

/* form 0: S = count - n_inh;  form 1: S = 2 count - n = 2 (count + floor(-n / 2)) + (n mod 2). */
void ec_columns(ec_net *net)
{
    const ec_spec *spec = &net->policy->spec;
    bool is_signed = spec->form == EC_FORM_SIGNED;
    int32_t start = is_signed ? ec_asr(-(int32_t)net->n_spiking, 1) : -(int32_t)net->n_inh_spiking;
    unsigned words = spec->n_neurons / 32u;
    if (!ec_sums_few(net)) {
        columns_of_many(net, words, start, is_signed);
        return;
    }
    uint32_t plane[EC_FEW_PLANES];
    EC_UNROLL for (unsigned b = 0; b < EC_FEW_PLANES; b++) plane[b] = ec_plane_of(start, b);
    ec_add_few(net->groups, net->policy->w_rec, net->rows, net->n_rows, words, plane);
    if (is_signed)
        double_sums(net, words);
}
