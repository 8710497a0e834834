/* Sums of one-bit rows in bit-sliced counters, ROW_BITS synapses at once: plane b holds bit b of
 * ROW_BITS two's complement numbers. Included once for each width, with ROW_BITS, NAME(x) and, for
 * AVX-512, TERNARY and TERNARY_TYPE defined.
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
#if defined(__AVX512VL__)
    /* Two instructions, which compilers do not find by themselves: majority and parity of three. */
    ROW carry = (ROW)TERNARY((TERNARY_TYPE)*sum, (TERNARY_TYPE)a, (TERNARY_TYPE)b, 0xE8);
    *sum = (ROW)TERNARY((TERNARY_TYPE)*sum, (TERNARY_TYPE)a, (TERNARY_TYPE)b, 0x96);
#else
    ROW half = *sum ^ a;
    ROW carry = (*sum & a) | (half & b);
    *sum = half ^ b;
#endif
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

/* Sums, currents, membranes and spikes of group g of ROW_BITS neurons. `planes` is a constant wherever
 * this is called, so that the counters stay in registers. */
static inline __attribute__((always_inline)) void NAME(update_group)(const neurons *all, unsigned g,
                                                                     const spike_list *list,
                                                                     int32_t start, unsigned planes)
{
    ROW plane[13];
    ROW *count = plane;
    if (all->is_signed) {
        plane[0] = NAME(row_splat)(list->n & 1);
        count = plane + 1;
    }
    NAME(set_planes)(count, planes, start);
    /* The list goes on with zeros. */
    NAME(add_rows)(count, planes, list->rows, (list->n + 7) & ~7u, g * (ROW_BITS / 32),
                   NAME(row_splat)(false));
    unsigned kept = planes;
    if (all->is_signed)
        kept = NAME(saturate)(plane, planes + 1);
    else if (planes > 8)
        kept = NAME(saturate)(plane, planes);
    for (unsigned lane = 0; lane < ROW_BITS; lane += LANE_BYTES)
        update_lanes(all, g * ROW_BITS + lane, NAME(to_bytes)(plane, kept, lane));
}

static uint32_t NAME(step)(const ec_layout *layout, uint8_t *member, const int16_t *raw)
{
    const neurons all = neurons_of(layout, member);
    const unsigned substeps = layout->spec.substeps;
    const unsigned groups = layout->stride / (ROW_BITS / 32);
    uint32_t total = 0;
    input_drive(layout, member, raw);

    spike_list list;
    list_spikes(&all, &list);
    for (unsigned substep = 0; substep < substeps; substep++) {
        /* form 0: S = count - n_inh;  form 1: S = 2 (count + floor(-n / 2)) + (n mod 2) */
        int32_t start = all.is_signed ? -(int32_t)((list.n + 1) / 2) : -(int32_t)list.n_inh;
        int32_t end = start + (int32_t)list.n;
        for (unsigned g = 0; g < groups; g++) {
            if (start >= -32 && end < 32)
                NAME(update_group)(&all, g, &list, start, 6);
            else if (start >= -128 && end < 128)
                NAME(update_group)(&all, g, &list, start, 8);
            else
                NAME(update_group)(&all, g, &list, start, 12);
        }
        list_spikes(&all, &list);
        filter_outputs(&all, list.n);
        total += list.n;
    }
    return total;
}

#if ROW_BITS == WIDEST_ROW

static void NAME(weigh)(const ec_weighted_members *members, uint32_t offset, int32_t *sums)
{
    for (unsigned at = 0; at < EC_WEIGH_BLOCK; at += ROW_BITS) {
        ROW plane[32] = {{0}};
        for (unsigned b = 0; b < EC_WEIGHT_BITS; b++) {
            /* From the lowest bit up, so that no carry has far to go. */
            for (unsigned negative = 0; negative < 2; negative++)
                NAME(add_rows)(plane + b, members->carry_planes, members->rows[negative][b],
                               members->count[negative][b], offset + at / 32,
                               NAME(row_splat)(negative));
        }
        /* Bytes of eight planes at a time, then put together. */
        for (unsigned lane = 0; lane < ROW_BITS; lane += LANE_BYTES) {
            uint8_t part[4][LANE_BYTES];
            for (unsigned k = 0; k < 4; k++) {
                bytes x = NAME(to_bytes)(plane + 8 * k, 8, lane);
                memcpy(part[k], &x, sizeof x);
            }
            for (unsigned i = 0; i < LANE_BYTES; i++)
                sums[at + lane + i] = members->start +
                                      (int32_t)(part[0][i] | (uint32_t)part[1][i] << 8 |
                                                (uint32_t)part[2][i] << 16 | (uint32_t)part[3][i] << 24);
        }
    }
}

#endif

#undef ROW
#undef ROW_BITS
#undef NAME
#undef TERNARY
#undef TERNARY_TYPE
