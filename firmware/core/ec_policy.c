#include "ec_policy.h"

#include "ec_crc.h"

static bool within(int32_t x, int32_t low, int32_t high)
{
    return low <= x && x <= high;
}

int ec_spec_check(const ec_spec *spec)
{
    bool good = within(spec->n_obs, 1, 1024) && within(spec->n_act, 1, 64) &&
                within(spec->n_neurons, 32, 1024) && spec->n_neurons % 32u == 0 &&
                spec->n_exc <= spec->n_neurons && spec->form <= EC_FORM_SIGNED &&
                (spec->form != EC_FORM_SIGNED || spec->n_exc == spec->n_neurons) &&
                within(spec->substeps, 1, 64) && within(spec->current_shift, 1, 7) &&
                within(spec->membrane_shift, 1, 7) && within(spec->output_shift, 1, 7) &&
                within(spec->recurrent_gain, -7, 7) && spec->output_gain <= 12 &&
                spec->input_shift <= 7 && spec->actions <= EC_ACTIONS_DISCRETE;
    return good ? 0 : EC_ERR_FIELD;
}

uint32_t ec_policy_image_size(const ec_spec *spec)
{
    uint32_t rows = 2u * spec->n_obs + spec->n_neurons + spec->n_act;
    return EC_IMAGE_HEADER + 8u * spec->n_obs + rows * (spec->n_neurons / 8u) + 4u;
}

static bool channels_good(const ec_channel *map, unsigned n_obs)
{
    for (unsigned i = 0; i < n_obs; i++) {
        if (map[i].multiplier > 32767 || map[i].shift > 16 || map[i].zero != 0 ||
            !within(map[i].exponent, -16, 30))
            return false;
    }
    return true;
}

int ec_policy_open(ec_policy *policy, const void *image, uint32_t size)
{
    const uint8_t *h = image;
    if (size < EC_IMAGE_HEADER)
        return EC_ERR_SHORT;
    if (ec_get32(h) != EC_IMAGE_MAGIC)
        return EC_ERR_MAGIC;
    if (ec_get16(h + 4) != EC_IMAGE_VERSION || ec_get16(h + 6) != EC_IMAGE_HEADER)
        return EC_ERR_VERSION;

    ec_spec spec = {
        .n_obs = ec_get16(h + 12),
        .n_act = ec_get16(h + 14),
        .n_neurons = ec_get16(h + 16),
        .n_exc = ec_get16(h + 18),
        .form = h[20],
        .substeps = h[21],
        .current_shift = h[22],
        .membrane_shift = h[23],
        .output_shift = h[24],
        .recurrent_gain = (int8_t)((h[25] ^ 0x80) - 0x80),
        .output_gain = h[26],
        .input_shift = h[27],
        .actions = h[28],
    };
    if (ec_spec_check(&spec) != 0 || h[29] != 0 || ec_get16(h + 30) > EC_GOLDEN_STEPS_MOST ||
        ec_get32(h + 44) != 0)
        return EC_ERR_FIELD;
    uint32_t image_size = ec_policy_image_size(&spec);
    if (ec_get32(h + 8) != image_size)
        return EC_ERR_SIZE;
    if (size < image_size)
        return EC_ERR_SHORT;
    if (ec_crc32(0, image, image_size - 4) != ec_get32(h + image_size - 4))
        return EC_ERR_CRC;

    /* The image is 4-byte aligned, and so are its map and its rows. */
    const ec_channel *map = (const void *)(h + EC_IMAGE_HEADER);
    if (!channels_good(map, spec.n_obs))
        return EC_ERR_FIELD;
    uint32_t words = spec.n_neurons / 32u;
    const uint32_t *rows = (const void *)(map + spec.n_obs);
    *policy = (ec_policy){
        .spec = spec,
        .map = map,
        .w_in = rows,
        .w_rec = rows + 2u * spec.n_obs * words,
        .w_out = rows + (2u * spec.n_obs + spec.n_neurons) * words,
        .hash = h + 36,
        .image_size = image_size,
        .golden_crc = ec_get32(h + 32),
        .golden_steps = ec_get16(h + 30),
    };
    return 0;
}

int16_t ec_channel_count(const ec_channel *channel, int32_t value, unsigned fraction)
{
    int up = channel->exponent - (int)fraction;
    if (up >= 0) {
        int32_t kept = ec_clamp(value, INT16_MIN, INT16_MAX);
        int32_t factor = (int32_t)1 << (up < 15 ? up : 15); /* either way beyond int16 unless 0 */
        return (int16_t)ec_clamp(kept * factor, INT16_MIN, INT16_MAX);
    }
    unsigned down = (unsigned)-up;
    if (down > 31)
        return 0;
    int32_t floor = ec_asr(value, down);
    uint32_t half = (uint32_t)1 << (down - 1);
    uint32_t rest = (uint32_t)value & (2u * half - 1u);
    if (rest > half || (rest == half && floor % 2 != 0)) /* ties to even */
        floor++;
    return (int16_t)ec_clamp(floor, INT16_MIN, INT16_MAX);
}
