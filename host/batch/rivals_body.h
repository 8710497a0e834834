/* The rivals' kernels, compiled for each instruction set by kernel_body.h: plain loops over columns,
 * which compilers make vectors of without a change to the order of any sum. */
#include "rivals.h"

static inline float power_of_two(int k)
{
    union {
        int32_t bits;
        float number;
    } made = {.bits = (k + 127) << 23};
    return made.number;
}

/* Spiking, of real numbers. */

#define REAL_SETTINGS(type)                                                                        \
    const type keep_c = 1 - (type)power_of_two(-spec->current_shift);                              \
    const type keep_m = 1 - (type)power_of_two(-spec->membrane_shift);                             \
    const type keep_o = 1 - (type)power_of_two(-spec->output_shift);                               \
    const type gain = power_of_two(spec->recurrent_gain), out = power_of_two(spec->output_gain);

#define NAME(x)       x##_rsnn
#define STATE         float
#define WEIGHT        float
#define SUM           float
#define DRIVE         float
#define SETTINGS      REAL_SETTINGS(float)
#define KEEP(x, k)    ((x) * (k))
#define GAIN(sum)     ((sum) * gain)
#define FIT(x)        (x)
#define FIT_OUTPUT(x) (x)
#define THRESHOLD     V_TH
#define INITIAL(i)    ((float)(i))
#define OUT(count)    ((count) * out)
#include "spiking_body.h"

/* Spiking, one-bit, in double. */

#define NAME(x)       x##_float64
#define STATE         double
#define WEIGHT        int8_t
#define SUM           int16_t
#define DRIVE         double
#define SETTINGS      REAL_SETTINGS(double)
#define KEEP(x, k)    ((x) * (k))
#define GAIN(sum)     ((sum) * gain)
#define FIT(x)        (x)
#define FIT_OUTPUT(x) (x)
#define THRESHOLD     V_TH
#define INITIAL(i)    ((double)(i))
#define OUT(count)    ((count) * out)
#include "spiking_body.h"

/* Spiking, one-bit, in int16: multiples of 2^-fraction. */

static inline int16_t sat16(int32_t x)
{
    return (int16_t)clamp(x, -32768, 32767);
}

#define NAME(x)  x##_int16
#define STATE    int16_t
#define WEIGHT   int8_t
#define SUM      int16_t
#define DRIVE    int32_t
#define SETTINGS                                                                                   \
    const int keep_c = spec->current_shift, keep_m = spec->membrane_shift;                         \
    const int keep_o = spec->output_shift, up = spec->recurrent_gain + (int)shape->fraction;       \
    const int32_t gain = 1 << (up > 0 ? up : 0), out = 1 << spec->output_gain;                     \
    const int down = up < 0 ? -up : 0, threshold = V_TH << shape->fraction;
#define KEEP(x, k)    ((x) - ((x) >> (k)))
#define GAIN(sum)     sat16((sum) * gain >> down)
#define FIT(x)        sat16(x)
#define FIT_OUTPUT(x) sat16(x)
#define THRESHOLD     threshold
#define INITIAL(i)    ((int16_t)((i) << shape->fraction))
#define OUT(count)    ((count) * out)
#include "spiking_body.h"

/* What does not spike. */

/* e^x within 2 units of the last place. */
static inline float exponential(float x)
{
    const float rounder = 12582912.0f; /* 1.5 * 2^23: what is added to it loses its fraction */
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    float k = (x * 1.44269504f + rounder) - rounder;
    float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    return p * power_of_two((int)k);
}

static inline float logistic(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

static inline float hyperbolic_tangent(float x)
{
    return 2.0f * logistic(2.0f * x) - 1.0f;
}

/* sum += x w: n rows of `columns` weights, row by row in their order; four at a time, for fewer loads
 * and stores of the sums. */
static inline void add_product(float *restrict sum, const float *restrict x, unsigned n,
                               const float *restrict w, unsigned columns)
{
    unsigned i = 0;
    for (; i + 4 <= n; i += 4, w += 4 * columns) {
        const float *w1 = w + columns, *w2 = w1 + columns, *w3 = w2 + columns;
        for (unsigned j = 0; j < columns; j++)
            sum[j] = (((sum[j] + x[i] * w[j]) + x[i + 1] * w1[j]) + x[i + 2] * w2[j]) + x[i + 3] * w3[j];
    }
    for (; i < n; i++, w += columns) {
        for (unsigned j = 0; j < columns; j++)
            sum[j] += x[i] * w[j];
    }
}

static void reset_dense(const ec_rival_shape *shape, uint8_t *state)
{
    (void)shape;
    (void)state; /* all 0, as it is */
}

static void show_dense(const ec_rival_shape *shape, const uint8_t *state, double *numbers)
{
    const unsigned n = shape->spec.n_neurons;
    const float *h = (const float *)(const void *)state;
    const float *c = (const float *)(const void *)(state + shape->vector);
    for (unsigned i = 0; i < n; i++) {
        numbers[i] = h[i];
        numbers[n + i] = c[i];
    }
}

static inline void narrow(float *restrict x, const double *restrict input, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        x[i] = (float)input[i];
}

/* What the gates get of the inputs, bias included, and of h; returns the weights behind U. */
static inline const float *weigh_gates(const ec_spec *spec, unsigned gates, const float *w, const float *h,
                                       const double *input, float *of_input, float *of_state)
{
    const unsigned n = spec->n_neurons, columns = gates * n;
    const float *u = w + spec->n_obs * columns, *bias = u + n * columns;
    float x[1024];
    narrow(x, input, spec->n_obs);
    memcpy(of_input, bias, columns * sizeof *bias);
    memset(of_state, 0, columns * sizeof *of_state);
    add_product(of_input, x, spec->n_obs, w, columns);
    add_product(of_state, h, n, u, columns);
    return bias + columns;
}

static inline void read_out(const ec_spec *spec, const float *h, const float *w, double *output)
{
    float y[64];
    memcpy(y, w + spec->n_neurons * spec->n_act, spec->n_act * sizeof *y);
    add_product(y, h, spec->n_neurons, w, spec->n_act);
    for (unsigned a = 0; a < spec->n_act; a++)
        output[a] = y[a];
}

static uint32_t step_gru(const ec_rival_shape *shape, const void *weights, uint8_t *state,
                         const double *input, double *output)
{
    const unsigned n = shape->spec.n_neurons;
    float *h = (float *)(void *)state;
    float of_input[3 * MAX_LANES], of_state[3 * MAX_LANES];
    const float *d = weigh_gates(&shape->spec, 3, weights, h, input, of_input, of_state);
    for (unsigned i = 0; i < n; i++) {
        float r = logistic(of_input[i] + of_state[i]);
        float z = logistic(of_input[n + i] + of_state[n + i]);
        float new = hyperbolic_tangent(of_input[2 * n + i] + r * (of_state[2 * n + i] + d[i]));
        h[i] = (1.0f - z) * new + z * h[i];
    }
    read_out(&shape->spec, h, d + n, output);
    return 0;
}

static uint32_t step_lstm(const ec_rival_shape *shape, const void *weights, uint8_t *state,
                          const double *input, double *output)
{
    const unsigned n = shape->spec.n_neurons;
    float *h = (float *)(void *)state, *c = (float *)(void *)(state + shape->vector);
    float of_input[4 * MAX_LANES], of_state[4 * MAX_LANES];
    const float *v = weigh_gates(&shape->spec, 4, weights, h, input, of_input, of_state);
    for (unsigned i = 0; i < n; i++) {
        float in = logistic(of_input[i] + of_state[i]);
        float keep = logistic(of_input[n + i] + of_state[n + i]);
        float new = hyperbolic_tangent(of_input[2 * n + i] + of_state[2 * n + i]);
        float show = logistic(of_input[3 * n + i] + of_state[3 * n + i]);
        c[i] = keep * c[i] + in * new;
        h[i] = show * hyperbolic_tangent(c[i]);
    }
    read_out(&shape->spec, h, v, output);
    return 0;
}

/* layer = max(0, bias + x w) */
static inline void rectify(float *restrict layer, const float *restrict bias, const float *restrict x,
                           unsigned n_in, const float *restrict w, unsigned n)
{
    memcpy(layer, bias, n * sizeof *layer);
    add_product(layer, x, n_in, w, n);
    for (unsigned i = 0; i < n; i++)
        layer[i] = layer[i] > 0.0f ? layer[i] : 0.0f;
}

static uint32_t step_mlp(const ec_rival_shape *shape, const void *weights, uint8_t *state,
                         const double *input, double *output)
{
    const unsigned n = shape->spec.n_neurons, n_obs = shape->spec.n_obs;
    float *h = (float *)(void *)state, *c = (float *)(void *)(state + shape->vector);
    const float *w = weights, *u = w + n_obs * n, *b = u + n * n, *d = b + n;
    float x[1024];
    narrow(x, input, n_obs);
    rectify(c, b, x, n_obs, w, n);
    rectify(h, d, c, n, u, n);
    read_out(&shape->spec, h, d + n, output);
    return 0;
}

#define RIVALS                                                                                     \
    {                                                                                              \
        [EC_RIVAL_RSNN] = {4, reset_rsnn, step_rsnn, show_rsnn},                                   \
        [EC_RIVAL_GRU] = {4, reset_dense, step_gru, show_dense},                                   \
        [EC_RIVAL_LSTM] = {4, reset_dense, step_lstm, show_dense},                                 \
        [EC_RIVAL_MLP] = {4, reset_dense, step_mlp, show_dense},                                   \
        [EC_RIVAL_FLOAT64] = {8, reset_float64, step_float64, show_float64},                       \
        [EC_RIVAL_INT16] = {2, reset_int16, step_int16, show_int16},                               \
    }
