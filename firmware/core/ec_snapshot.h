/* Snapshots in flash: what was learned outlives the power.
 *
 *     flash   | area 0: head | payload | ...      | area 1: head | payload | ...      |
 *     head    | magic u32 | sequence u32 | payload's size u32 | its CRC-32 u32 | CRC-32 of these u32 |
 *
 * A save erases the area of the older snapshot, writes the payload, and its head at last. Whenever the
 * power fails, the other area holds a whole one: the good one with the higher sequence counts.
 */
#ifndef EC_SNAPSHOT_H
#define EC_SNAPSHOT_H

#include "ec_base.h"

/* Pages of flash that are the application's. Erased flash is all ones; a word is written once after
 * that. Offsets and sizes are multiples of 4. False: it did not come out so. All return soon enough for
 * a plant that is safe. */
typedef struct {
    uint32_t page_size; /* bytes */
    uint32_t pages;     /* 2 or more; the first half of them is area 0 */
    bool (*erase)(uint32_t page);
    bool (*write)(uint32_t offset, const uint8_t *bytes, uint32_t size);
    void (*read)(uint32_t offset, uint8_t *bytes, uint32_t size);
} ec_flash;

/* One that is there. */
typedef struct {
    uint32_t sequence; /* 0: there is none */
    uint32_t offset;   /* of its payload in flash */
    uint32_t size;     /* of its payload, bytes */
} ec_snapshot;

/* The largest payload. */
uint32_t ec_snapshot_room(const ec_flash *flash);

/* The newest one that is whole. Reads all of it. */
ec_snapshot ec_snapshot_find(const ec_flash *flash);

/* Saves a payload of two parts, whose sizes are multiples of 4 and fit together. False: it could not be
 * written; the one before is there still. */
bool ec_snapshot_save(const ec_flash *flash, const uint8_t *first, uint32_t first_size, const uint8_t *second,
                      uint32_t second_size);

#endif
