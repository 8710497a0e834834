#include "ec_random.h"

static uint32_t rotate_left(uint32_t x, unsigned k)
{
    return (x << k) | (x >> (32u - k));
}

ec_random_pair ec_random(uint32_t key0, uint32_t key1, uint32_t counter0, uint32_t counter1)
{
    static const uint8_t rotation[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const uint32_t key[3] = {key0, key1, 0x1BD11BDAu ^ key0 ^ key1};
    uint32_t x0 = counter0 + key0;
    uint32_t x1 = counter1 + key1;
    for (uint32_t injection = 1; injection <= 5; injection++) {
        const uint8_t *r = rotation + (injection % 2 ? 0 : 4);
        for (unsigned i = 0; i < 4; i++) {
            x0 += x1;
            x1 = rotate_left(x1, r[i]) ^ x0;
        }
        x0 += key[injection % 3];
        x1 += key[(injection + 1) % 3] + injection;
    }
    return (ec_random_pair){x0, x1};
}
