#include "ec_crc.h"

/* As the core's, with the table in flash, where this core does not look for data by itself: 64 bytes of
 * RAM less. */
static const uint32_t table[16] __attribute__((section(".progmem.crc"))) = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

static inline uint32_t entry(uint8_t index)
{
    const uint32_t *at = &table[index];
    uint32_t value;
    __asm__("lpm %A0, Z+\n\tlpm %B0, Z+\n\tlpm %C0, Z+\n\tlpm %D0, Z" : "=&r"(value), "+z"(at));
    return value;
}

uint32_t ec_crc32(uint32_t crc, const void *bytes, uint32_t length)
{
    const uint8_t *p = bytes;
    crc = ~crc;
    while (length--) {
        crc ^= *p++;
        crc = (crc >> 4) ^ entry(crc & 15u);
        crc = (crc >> 4) ^ entry(crc & 15u);
    }
    return ~crc;
}
