/* The spiking rivals, once for each kind of state. The file that includes this defines NAME(x), STATE,
 * WEIGHT, SUM (of recurrent weights), DRIVE (of weighted inputs), and what differs in arithmetic:
 * KEEP(x, k), the decayed x; GAIN(sum), what synapses give the current; FIT(x), saturation;
 * FIT_OUTPUT(x); THRESHOLD, INITIAL(i); OUT(count), what spikes give an output.
 */
typedef struct {
    STATE *c, *v, *o;
    uint16_t *spike, *n_spikes; /* the neurons that spiked last, and how many they are */
} NAME(view);

static inline NAME(view) NAME(view_of)(const ec_rival_shape *shape, uint8_t *state)
{
    uint16_t *list = (uint16_t *)(void *)(state + 3 * (size_t)shape->vector);
    return (NAME(view)){
        .c = (STATE *)(void *)state,
        .v = (STATE *)(void *)(state + shape->vector),
        .o = (STATE *)(void *)(state + 2 * (size_t)shape->vector),
        .n_spikes = list,
        .spike = list + 1,
    };
}

static void NAME(reset)(const ec_rival_shape *shape, uint8_t *state)
{
    NAME(view) all = NAME(view_of)(shape, state);
    for (unsigned i = 0; i < shape->spec.n_neurons; i++)
        all.v[i] = INITIAL(37u * i % 64u);
}

static void NAME(show)(const ec_rival_shape *shape, const uint8_t *state, double *numbers)
{
    const unsigned n = shape->spec.n_neurons;
    const STATE *c = (const STATE *)(const void *)state;
    const STATE *v = (const STATE *)(const void *)(state + shape->vector);
    for (unsigned i = 0; i < n; i++) {
        numbers[i] = (double)c[i];
        numbers[n + i] = (double)v[i];
    }
}

static uint32_t NAME(step)(const ec_rival_shape *shape, const void *weights, uint8_t *state,
                           const double *input, double *output)
{
    const ec_spec *spec = &shape->spec;
    const unsigned n = spec->n_neurons, n_obs = spec->n_obs, n_act = spec->n_act;
    const WEIGHT *w_in = weights, *w_rec = w_in + n_obs * n, *w_out = w_rec + n * n;
    NAME(view) all = NAME(view_of)(shape, state);
    STATE *restrict c = all.c, *restrict v = all.v;
    DRIVE drive[MAX_LANES] = {0};
    STATE x[MAX_LANES];
    SUM sum[MAX_LANES];
    uint8_t fires[MAX_LANES];
    unsigned n_spikes = *all.n_spikes;
    uint32_t total = 0;
    SETTINGS

    for (unsigned i = 0; i < n_obs; i++) {
        const WEIGHT *row = w_in + i * n;
        const DRIVE q = (DRIVE)input[i];
        for (unsigned j = 0; j < n; j++)
            drive[j] += q * row[j];
    }
    for (unsigned j = 0; j < n; j++)
        x[j] = FIT(drive[j]);
    for (unsigned k = 0; k < spec->substeps; k++) {
        memset(sum, 0, n * sizeof *sum);
        for (unsigned s = 0; s < n_spikes; s++) {
            const WEIGHT *row = w_rec + all.spike[s] * n;
            for (unsigned j = 0; j < n; j++)
                sum[j] = (SUM)(sum[j] + row[j]);
        }
        for (unsigned j = 0; j < n; j++) {
            STATE current = FIT(KEEP(c[j], keep_c) + GAIN(sum[j]));
            STATE pushed = FIT(current + x[j]);
            STATE membrane = FIT(KEEP(v[j], keep_m) + pushed);
            fires[j] = membrane >= THRESHOLD;
            c[j] = current;
            v[j] = fires[j] ? 0 : membrane;
        }
        n_spikes = 0;
        for (unsigned j = 0; j < n; j++) {
            all.spike[n_spikes] = (uint16_t)j;
            n_spikes += fires[j];
        }
        for (unsigned a = 0; a < n_act; a++) {
            SUM count = 0;
            for (unsigned s = 0; s < n_spikes; s++)
                count = (SUM)(count + w_out[a * n + all.spike[s]]);
            all.o[a] = FIT_OUTPUT(KEEP(all.o[a], keep_o) + OUT(count));
        }
        total += n_spikes;
    }
    *all.n_spikes = (uint16_t)n_spikes;
    for (unsigned a = 0; a < n_act; a++)
        output[a] = (double)all.o[a];
    return total;
}

#undef NAME
#undef STATE
#undef WEIGHT
#undef SUM
#undef DRIVE
#undef SETTINGS
#undef KEEP
#undef GAIN
#undef FIT
#undef FIT_OUTPUT
#undef THRESHOLD
#undef INITIAL
#undef OUT
