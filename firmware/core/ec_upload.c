#include "ec_upload.h"

void ec_upload_begin(ec_upload *upload, uint32_t size, uint32_t name, uint16_t block)
{
    uint8_t number = (uint8_t)(upload->number + 1);
    *upload = (ec_upload){.size = size, .name = name, .block = block, .number = number};
}

void ec_upload_end(ec_upload *upload)
{
    upload->size = 0;
    upload->received = 0;
}

bool ec_upload_resume(ec_upload *upload, uint32_t size, uint32_t name, uint16_t block)
{
    if (upload->block == 0 || upload->size != size || upload->name != name)
        return false;
    if (upload->block != block) {
        uint32_t received = upload->received;
        ec_upload_begin(upload, size, name, block);
        upload->received = received == size ? size : received - received % block;
    }
    return true;
}

static uint32_t length_at(const ec_upload *upload, uint32_t offset)
{
    uint32_t left = upload->size - offset;
    return left < upload->block ? left : upload->block;
}

bool ec_upload_take(ec_upload *upload, uint16_t index, uint32_t length, uint32_t *offset)
{
    if (upload->size == 0 || upload->block == 0)
        return false;
    uint32_t begin = (uint32_t)index * upload->block;
    if (begin < upload->received || begin >= upload->size || length != length_at(upload, begin))
        return false;
    uint32_t ahead = (begin - upload->received) / upload->block;
    if (ahead >= EC_UPLOAD_WINDOW || upload->beyond >> ahead & 1u)
        return false;
    upload->beyond |= (uint32_t)1 << ahead;
    for (; upload->beyond & 1u; upload->beyond >>= 1)
        upload->received += length_at(upload, upload->received);
    *offset = begin;
    return true;
}
