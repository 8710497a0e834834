/* CRC-32 as zlib computes it (reflected 0xEDB88320). */
#ifndef EC_CRC_H
#define EC_CRC_H

#include "ec_base.h"

/* The CRC of `length` bytes; `crc` is 0 to begin, or the last value to run on. */
uint32_t ec_crc32(uint32_t crc, const void *bytes, uint32_t length);

#endif
