/* What a kernel works on, and what it does: one table of functions for each instruction set. */
#ifndef EC_KERNEL_H
#define EC_KERNEL_H

#include "ec_policy.h"
#include "rivals.h"

#define EC_ALIGN 64 /* bytes: the widest vector */

/* How a member lies in memory: the same for all members of a batch.
 *
 *   | rows of W_in | W_rec | W_out |  spikes | current | membrane | drive | output |
 *     `stride` words each, filled with 0     N bits    `lanes` bytes each   n_act
 *
 * Inhibitory rows of W_rec are complemented (their N bits, not the filling), so a filling neuron
 * only ever receives what is 0 or negative and stays silent.
 */
typedef struct {
    ec_spec spec;
    const ec_channel *map;
    uint32_t row_bits;     /* bits that the kernel sums at once: 128, 256 or 512 */
    uint32_t stride;       /* words of a row, a multiple of row_bits / 32 */
    uint32_t lanes;        /* neurons, filled up to whole rows and at least 64 */
    uint32_t n_rows;
    uint32_t n_words;      /* of plain synapses */
    uint32_t spikes_at;    /* offsets in the member, bytes */
    uint32_t current_at;
    uint32_t membrane_at;
    uint32_t drive_at;
    uint32_t output_at;
    uint32_t member_size;  /* bytes, a multiple of EC_ALIGN */
    const uint64_t *excitatory; /* stride / 2 words: the bits of the excitatory neurons */
} ec_layout;

/* ρ in bit planes: plane p (0 is the top) of word w is plane[p * stride + w]. */
typedef struct {
    const uint32_t *plane;
    uint32_t stride; /* words, a multiple of 16, at least n_words */
    uint32_t planes; /* 16 or 8 */
} ec_rho_planes;

#define EC_WEIGHT_BITS 14 /* of the largest |weight| */

/* The members of a batch as weighted rows: one list for each sign and bit of |weight|. */
typedef struct {
    const uint32_t **rows[2][EC_WEIGHT_BITS]; /* [negative][bit]: the members' first words */
    uint32_t count[2][EC_WEIGHT_BITS];
    int32_t start;         /* minus the sum of the negative members' |weight| */
    uint32_t carry_planes; /* bits that the count of all members can carry beyond a list's own bit */
} ec_weighted_members;

typedef struct {
    const char *name;
    uint32_t widest_row; /* the largest row_bits */

    /* One control step of one member; returns its spikes. */
    uint32_t (*step)(const ec_layout *layout, uint8_t *member, const int16_t *raw);

    /* One member's plain synapses. `synapses` has room for rho->stride words, `scratch` for four
     * times as many. */
    void (*sample)(const ec_rho_planes *rho, uint32_t n_words, uint32_t seed, uint32_t generation,
                   uint32_t member, uint32_t *synapses, uint32_t *scratch);

    /* Bit planes of `count` probabilities from `first` on, a multiple of 64; one of rho16 and rho8 is
     * NULL. Whole vectors are written: planes have room for a multiple of 64 synapses. */
    void (*slice)(const uint16_t *rho16, const uint8_t *rho8, uint32_t *plane, uint32_t stride,
                  uint32_t first, uint32_t count);

    /* Weighted sums of the stored bits of one block of 512 synapses that begins `offset` words into
     * every member. */
    void (*weigh)(const ec_weighted_members *members, uint32_t offset, int32_t *sums);

    ec_rival_model rivals[EC_RIVAL_MODELS];
} ec_kernel;

/* A kernel that this machine can run, NULL if it cannot; without a name the best one. */
const ec_kernel *ec_kernel_named(const char *name);

#define EC_WEIGH_BLOCK 512 /* synapses; members are read up to this far beyond their last row */

extern const ec_kernel ec_kernel_avx512, ec_kernel_avx2, ec_kernel_baseline;

#endif
