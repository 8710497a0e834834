/* What the kernels of rivals work on. */
#ifndef EC_RIVALS_KERNEL_H
#define EC_RIVALS_KERNEL_H

#include "ec_rivals.h"

#define EC_RIVAL_MODELS 6

/* A member's state: two vectors of N of the model's own number and n_act outputs, `vector` bytes
 * apart; spiking models list behind them the neurons that spiked last. */
typedef struct {
    ec_spec spec;
    uint32_t fraction;
    uint32_t vector; /* bytes from one vector to the next */
} ec_rival_shape;

/* What a model does with one member; step returns its spikes. */
typedef struct {
    uint32_t number; /* bytes of a number of the state */
    void (*reset)(const ec_rival_shape *shape, uint8_t *state);
    uint32_t (*step)(const ec_rival_shape *shape, const void *weights, uint8_t *state, const double *input,
                     double *output);
    void (*show)(const ec_rival_shape *shape, const uint8_t *state, double *numbers);
} ec_rival_model;

#endif
