/* A policy image, opened in place: docs/MODEL.md section 6.
 *
 *   image (flash or RAM, 4-byte aligned)
 *   | header 48 | observation map 8 n_obs | W_in | W_rec | W_out | crc |
 *                                           ^ rows of N/32 words, inhibitory rows of W_rec complemented
 */
#ifndef EC_POLICY_H
#define EC_POLICY_H

#include "ec_base.h"

#define EC_IMAGE_MAGIC   0x31504345
#define EC_IMAGE_VERSION 1
#define EC_IMAGE_HEADER  48
#define EC_HASH_SIZE     8

#define EC_GOLDEN_STEPS_MOST 64 /* so that a proof takes bounded time */

#define EC_FORM_EXCITATORY_INHIBITORY 0
#define EC_FORM_SIGNED                1
#define EC_ACTIONS_CONTINUOUS         0
#define EC_ACTIONS_DISCRETE           1

#define EC_V_TH       64   /* threshold of the membrane potential */
#define EC_OUTPUT_ONE 2048 /* the output that means 1.0 */

/* The numbers that define a network; ranges in docs/MODEL.md section 1. */
typedef struct {
    uint16_t n_obs;
    uint16_t n_act;
    uint16_t n_neurons; /* a multiple of 32 */
    uint16_t n_exc;     /* the first n_exc neurons excite */
    uint8_t form;
    uint8_t substeps;
    uint8_t current_shift;
    uint8_t membrane_shift;
    uint8_t output_shift;
    int8_t recurrent_gain; /* a recurrent synapse weighs 2^recurrent_gain, the threshold EC_V_TH */
    uint8_t output_gain;   /* an output synapse weighs 2^output_gain, 1.0 is EC_OUTPUT_ONE */
    uint8_t input_shift;
    uint8_t actions;
} ec_spec;

/* One channel of the observation map, as it lies in the image. */
typedef struct {
    int16_t offset;
    uint16_t multiplier;
    uint8_t shift;
    int8_t exponent; /* the host's: a count is 2^-exponent physical units */
    uint16_t zero;
} ec_channel;

/* A view of an image that was checked. The pointers lead into the image, which must outlive it. */
typedef struct {
    ec_spec spec;
    const ec_channel *map; /* n_obs */
    const uint32_t *w_in;  /* 2 n_obs rows of n_neurons / 32 words */
    const uint32_t *w_rec; /* n_neurons rows, inhibitory ones complemented */
    const uint32_t *w_out; /* n_act rows */
    const uint8_t *hash;   /* EC_HASH_SIZE bytes */
    uint32_t image_size;   /* bytes, CRC included */
    uint32_t golden_crc;
    uint16_t golden_steps; /* 0: the image brings no proof */
} ec_policy;

/* The count of a physical value, docs/MODEL.md section 2, of a plant that computes in fixed point:
 * value / 2^fraction is in physical units; fraction is 0 ... 31. */
int16_t ec_channel_count(const ec_channel *channel, int32_t value, unsigned fraction);

/* Checks all of docs/MODEL.md section 6 and opens the image. `image` holds `size` bytes and is
 * 4-byte aligned; bytes beyond the image's own size are not looked at. Nothing is written to
 * `policy` unless the result is 0. Errors: EC_ERR_SHORT, _MAGIC, _VERSION, _FIELD, _SIZE, _CRC. */
int ec_policy_open(ec_policy *policy, const void *image, uint32_t size);

/* Bytes of the image that this spec makes. */
uint32_t ec_policy_image_size(const ec_spec *spec);

/* 0, or EC_ERR_FIELD for a number outside the ranges. */
int ec_spec_check(const ec_spec *spec);

#endif
