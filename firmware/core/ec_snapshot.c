#include "ec_snapshot.h"

#include "ec_crc.h"

#define MAGIC     0x53454345u /* "ECES" */
#define HEAD_SIZE 20u
#define PIECE     32u /* bytes that are read at once */

static uint32_t area_size(const ec_flash *flash)
{
    return flash->pages / 2u * flash->page_size;
}

uint32_t ec_snapshot_room(const ec_flash *flash)
{
    return area_size(flash) - HEAD_SIZE;
}

static uint32_t crc_of(const ec_flash *flash, uint32_t offset, uint32_t size)
{
    uint8_t bytes[PIECE];
    uint32_t crc = 0;
    while (size > 0) {
        uint32_t count = size < PIECE ? size : PIECE;
        flash->read(offset, bytes, count);
        crc = ec_crc32(crc, bytes, count);
        offset += count;
        size -= count;
    }
    return crc;
}

static ec_snapshot look(const ec_flash *flash, unsigned area)
{
    uint8_t head[HEAD_SIZE];
    uint32_t at = area * area_size(flash);
    flash->read(at, head, HEAD_SIZE);
    ec_snapshot found = {ec_get32(head + 4), at + HEAD_SIZE, ec_get32(head + 8)};
    bool good = ec_get32(head) == MAGIC && ec_get32(head + 16) == ec_crc32(0, head, 16) &&
                found.size <= ec_snapshot_room(flash) && found.size % 4u == 0 &&
                crc_of(flash, found.offset, found.size) == ec_get32(head + 12);
    return good ? found : (ec_snapshot){0};
}

ec_snapshot ec_snapshot_find(const ec_flash *flash)
{
    ec_snapshot first = look(flash, 0), second = look(flash, 1);
    return second.sequence > first.sequence ? second : first;
}

static bool erase(const ec_flash *flash, uint32_t offset, uint32_t size)
{
    uint32_t first = offset / flash->page_size;
    uint32_t end = (offset + size + flash->page_size - 1u) / flash->page_size;
    for (uint32_t page = first; page < end; page++) {
        if (!flash->erase(page))
            return false;
    }
    return true;
}

bool ec_snapshot_save(const ec_flash *flash, const uint8_t *first, uint32_t first_size, const uint8_t *second,
                      uint32_t second_size)
{
    uint8_t head[HEAD_SIZE];
    ec_snapshot before = ec_snapshot_find(flash);
    uint32_t at = before.sequence > 0 && before.offset < area_size(flash) ? area_size(flash) : 0;
    uint32_t size = first_size + second_size;
    uint32_t payload = at + HEAD_SIZE;
    ec_put32(head, MAGIC);
    ec_put32(head + 4, before.sequence + 1u);
    ec_put32(head + 8, size);
    ec_put32(head + 12, ec_crc32(ec_crc32(0, first, first_size), second, second_size));
    ec_put32(head + 16, ec_crc32(0, head, 16));
    return erase(flash, at, HEAD_SIZE + size) && flash->write(payload, first, first_size) &&
           flash->write(payload + first_size, second, second_size) && flash->write(at, head, HEAD_SIZE) &&
           ec_snapshot_find(flash).sequence == before.sequence + 1u;
}
