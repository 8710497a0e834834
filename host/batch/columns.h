/* Sums of one-bit rows in bit-sliced counters, ROW_BITS synapses at once: included once for each
 * width, with ROW_BITS and NAME(x) defined. Plane b holds bit b of ROW_BITS two's complement numbers.
 */

typedef uint64_t NAME(row) __attribute__((vector_size(ROW_BITS / 8), may_alias));
#define ROW NAME(row)

static inline ROW NAME(row_splat)(bool set)
{
    return (ROW){0} - (uint64_t)set;
}

/* sum + a + b; what carries is returned. */
static inline ROW NAME(full_add)(ROW *sum, ROW a, ROW b)
{
    ROW half = *sum ^ a;
    ROW carry = (*sum & a) | (half & b);
    *sum = half ^ b;
    return carry;
}

static inline void NAME(ripple)(ROW *plane, unsigned planes, unsigned b, ROW carry)
{
    for (; b < planes; b++) {
        ROW next = plane[b] & carry;
        plane[b] ^= carry;
        carry = next;
    }
}

static inline ROW NAME(load)(const uint32_t *words, uint32_t offset, ROW flip)
{
    return *(const ROW *)(words + offset) ^ flip;
}

/* Adds n rows of weight 1, each `offset` words behind its pointer and xored with `flip`. Eight rows
 * cost seven full adders; `planes` is at least 4. */
static inline __attribute__((always_inline)) void NAME(add_rows)(ROW *plane, unsigned planes,
                                                                 const uint32_t *const *rows, unsigned n,
                                                                 uint32_t offset, ROW flip)
{
#define AT(k) NAME(load)(rows[k], offset, flip)
    ROW ones = plane[0], twos = plane[1], fours = plane[2];
    for (; n >= 8; n -= 8, rows += 8) {
        ROW two0 = NAME(full_add)(&ones, AT(0), AT(1));
        ROW two1 = NAME(full_add)(&ones, AT(2), AT(3));
        ROW two2 = NAME(full_add)(&ones, AT(4), AT(5));
        ROW two3 = NAME(full_add)(&ones, AT(6), AT(7));
        ROW four0 = NAME(full_add)(&twos, two0, two1);
        ROW four1 = NAME(full_add)(&twos, two2, two3);
        NAME(ripple)(plane, planes, 3, NAME(full_add)(&fours, four0, four1));
    }
    if (n >= 4) {
        ROW two0 = NAME(full_add)(&ones, AT(0), AT(1));
        ROW two1 = NAME(full_add)(&ones, AT(2), AT(3));
        ROW four = NAME(full_add)(&twos, two0, two1);
        ROW eight = fours & four;
        fours ^= four;
        NAME(ripple)(plane, planes, 3, eight);
        n -= 4;
        rows += 4;
    }
    plane[0] = ones;
    plane[1] = twos;
    plane[2] = fours;
    if (n >= 2)
        NAME(ripple)(plane, planes, 1, NAME(full_add)(&plane[0], AT(0), AT(1)));
    if (n % 2)
        NAME(ripple)(plane, planes, 0, AT(n - 1));
#undef AT
}

static inline void NAME(set_planes)(ROW *plane, unsigned planes, int32_t value)
{
    for (unsigned b = 0; b < planes; b++)
        plane[b] = NAME(row_splat)((value >> b) & 1);
}

/* Saturates `planes` planes to the int8 range, in place: the result has 8 planes at most. */
static inline unsigned NAME(saturate)(ROW *plane, unsigned planes)
{
    if (planes <= 8)
        return planes;
    ROW sign = plane[planes - 1];
    ROW over = {0};
    for (unsigned b = 7; b + 1 < planes; b++)
        over |= plane[b] ^ sign;
    for (unsigned b = 0; b < 7; b++)
        plane[b] = (plane[b] & ~over) | (over & ~sign);
    plane[7] = sign;
    return 8;
}

/* The int8 of LANE_BYTES neurons, the first of them `lane`, from `planes` <= 8 planes. */
static inline __attribute__((always_inline)) bytes NAME(to_bytes)(const ROW *plane, unsigned planes,
                                                                  unsigned lane)
{
    const unsigned top = planes - 1;
    bytes x = bytes_of_bits((const uint8_t *)&plane[top] + lane / 8) & bytes_splat(-(1 << top));
    for (unsigned b = 0; b < top; b++)
        x |= bytes_of_bits((const uint8_t *)&plane[b] + lane / 8) & bytes_splat(1 << b);
    return x;
}

/* The input drive x of all neurons: q weighs a row and, complemented, the row of its negative. */
static void NAME(input_drive)(const ec_layout *layout, uint8_t *member, const int16_t *raw)
{
    const ec_spec *spec = &layout->spec;
    const uint32_t *w_in = (const uint32_t *)member;
    int8_t q[1024];
    int32_t magnitudes = 0;
    for (unsigned i = 0; i < spec->n_obs; i++) {
        q[i] = quantise(&layout->map[i], raw[i]);
        magnitudes += q[i] < 0 ? -q[i] : q[i];
    }
    int32_t half = (1 << spec->input_shift) >> 1;
    unsigned planes = planes_for(magnitudes + half);
    if (planes < 10) /* add_rows at bit 6 wants 4 more */
        planes = 10;

    ROW plane[MAX_LANES / ROW_BITS][MAX_INPUT_PLANES];
    unsigned groups = layout->stride / (ROW_BITS / 32);
    for (unsigned g = 0; g < groups; g++)
        NAME(set_planes)(plane[g], planes, half - magnitudes);
    for (unsigned b = 0; b < 7; b++) {
        const uint32_t *plain[1024], *complemented[1024];
        unsigned n = 0;
        for (unsigned i = 0; i < spec->n_obs; i++) {
            int magnitude = q[i] < 0 ? -q[i] : q[i];
            const uint32_t *positive = w_in + i * layout->stride;
            const uint32_t *negative = w_in + (spec->n_obs + i) * layout->stride;
            plain[n] = q[i] < 0 ? negative : positive;
            complemented[n] = q[i] < 0 ? positive : negative;
            n += (magnitude >> b) & 1;
        }
        for (unsigned g = 0; g < groups && n; g++) {
            uint32_t offset = g * (ROW_BITS / 32);
            NAME(add_rows)(plane[g] + b, planes - b, plain, n, offset, NAME(row_splat)(false));
            NAME(add_rows)(plane[g] + b, planes - b, complemented, n, offset, NAME(row_splat)(true));
        }
    }
    int8_t *drive = (int8_t *)(member + layout->drive_at);
    for (unsigned g = 0; g < groups; g++) {
        ROW *shifted = plane[g] + spec->input_shift;
        unsigned kept = NAME(saturate)(shifted, planes - spec->input_shift);
        for (unsigned lane = 0; lane < ROW_BITS; lane += LANE_BYTES) {
            bytes x = NAME(to_bytes)(shifted, kept, lane);
            x -= x == bytes_splat(-128); /* -127 is the least */
            memcpy(drive + g * ROW_BITS + lane, &x, sizeof x);
        }
    }
}

/* Sums, currents, membranes and spikes of one group of ROW_BITS neurons. `planes` is a constant
 * wherever this is called, so that the counters stay in registers. */
static inline __attribute__((always_inline)) void NAME(update_group)(const ec_layout *layout,
                                                                     uint8_t *member, unsigned g,
                                                                     const uint32_t *const *rows,
                                                                     unsigned n, int32_t start,
                                                                     unsigned planes)
{
    const ec_spec *spec = &layout->spec;
    const unsigned k_c = spec->current_shift, k_m = spec->membrane_shift;
    ROW plane[13];
    ROW *count = plane;
    if (spec->form == EC_FORM_SIGNED) {
        plane[0] = NAME(row_splat)(n & 1);
        count = plane + 1;
    }
    NAME(set_planes)(count, planes, start);
    NAME(add_rows)(count, planes, rows, n, g * (ROW_BITS / 32), NAME(row_splat)(false));
    unsigned kept = planes;
    if (spec->form == EC_FORM_SIGNED)
        kept = NAME(saturate)(plane, planes + 1);
    else if (planes > 8)
        kept = NAME(saturate)(plane, planes);

    for (unsigned lane = 0; lane < ROW_BITS; lane += LANE_BYTES) {
        unsigned i = g * ROW_BITS + lane;
        bytes c, v, x;
        memcpy(&c, member + layout->current_at + i, sizeof c);
        memcpy(&v, member + layout->membrane_at + i, sizeof v);
        memcpy(&x, member + layout->drive_at + i, sizeof x);
        bytes synaptic = NAME(to_bytes)(plane, kept, lane);
        for (int k = 0; k < spec->recurrent_gain; k++)
            synaptic = bytes_adds(synaptic, synaptic);
        if (spec->recurrent_gain < 0)
            synaptic = bytes_asr(synaptic, (unsigned)-spec->recurrent_gain);
        c = bytes_adds(c - bytes_asr(c, k_c), synaptic);
        v = bytes_adds(v - bytes_asr(v, k_m), bytes_adds(c, x));
        bytes fires = v >= bytes_splat(V_TH);
        v &= ~fires;
        bits_of_signs(member + layout->spikes_at + i / 8, fires);
        memcpy(member + layout->current_at + i, &c, sizeof c);
        memcpy(member + layout->membrane_at + i, &v, sizeof v);
    }
}

static uint32_t NAME(step)(const ec_layout *layout, uint8_t *member, const int16_t *raw)
{
    const ec_spec *spec = &layout->spec;
    const uint32_t *w_rec = (const uint32_t *)member + 2u * spec->n_obs * layout->stride;
    unsigned groups = layout->stride / (ROW_BITS / 32);
    uint32_t total = 0;
    NAME(input_drive)(layout, member, raw);

    const uint32_t *rows[MAX_LANES];
    unsigned n_inh;
    unsigned n = list_spikes(layout, member, w_rec, rows, &n_inh);
    for (unsigned substep = 0; substep < spec->substeps; substep++) {
        /* form 0: S = count - n_inh;  form 1: S = 2 (count + floor(-n / 2)) + (n mod 2) */
        int32_t start = spec->form == EC_FORM_SIGNED ? -(int32_t)((n + 1) / 2) : -(int32_t)n_inh;
        for (unsigned g = 0; g < groups; g++) {
            if (start + (int32_t)n < 32 && start >= -32)
                NAME(update_group)(layout, member, g, rows, n, start, 6);
            else if (start + (int32_t)n < 128 && start >= -128)
                NAME(update_group)(layout, member, g, rows, n, start, 8);
            else
                NAME(update_group)(layout, member, g, rows, n, start, 12);
        }
        n = list_spikes(layout, member, w_rec, rows, &n_inh);
        filter_outputs(layout, member, n);
        total += n;
    }
    return total;
}

#if ROW_BITS == WIDEST_ROW

static void NAME(weigh)(const ec_weighted_members *members, uint32_t offset, int32_t *sums)
{
    for (unsigned at = 0; at < EC_WEIGH_BLOCK; at += ROW_BITS) {
        ROW plane[32];
        unsigned planes = members->planes < 4 ? 4 : members->planes;
        NAME(set_planes)(plane, planes, members->start);
        for (unsigned negative = 0; negative < 2; negative++) {
            for (unsigned b = 0; b < EC_WEIGHT_BITS && b + 4 <= planes; b++)
                NAME(add_rows)(plane + b, planes - b, members->rows[negative][b],
                               members->count[negative][b], offset + at / 32,
                               NAME(row_splat)(negative));
        }
        /* Bytes of eight planes at a time, then put together: the top byte carries the sign. */
        for (unsigned b = planes; b < 32; b++)
            plane[b] = plane[planes - 1];
        for (unsigned lane = 0; lane < ROW_BITS; lane += LANE_BYTES) {
            ubytes part[4];
            for (unsigned k = 0; k < 4; k++)
                part[k] = (ubytes)NAME(to_bytes)(plane + 8 * k, 8, lane);
            for (unsigned i = 0; i < LANE_BYTES; i++) {
                uint32_t sum = part[0][i] | (uint32_t)part[1][i] << 8 | (uint32_t)part[2][i] << 16 |
                               (uint32_t)part[3][i] << 24;
                sums[at + lane + i] = (int32_t)sum;
            }
        }
    }
}

#endif

#undef ROW
