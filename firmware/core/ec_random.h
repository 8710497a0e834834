/* Threefry-2x32-20 (Salmon et al., SC 2011): docs/MODEL.md section 3. */
#ifndef EC_RANDOM_H
#define EC_RANDOM_H

#include "ec_base.h"

typedef struct {
    uint32_t x0, x1;
} ec_random_pair;

ec_random_pair ec_random(uint32_t key0, uint32_t key1, uint32_t counter0, uint32_t counter1);

#endif
