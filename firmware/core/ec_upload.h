/* Where an upload stands: docs/LINK.md section 4. It knows places, never bytes: the device moves those.
 *
 *     image   | block 0 | block 1 | block 2 | block 3 | block 4 | block 5 |
 *               came      came     (missing)   came     (missing)   came
 *             \___ received ____/ \___ beyond: bit 1 and bit 3 are set ____/
 */
#ifndef EC_UPLOAD_H
#define EC_UPLOAD_H

#include "ec_base.h"

#define EC_UPLOAD_WINDOW 32u /* blocks from the first missing one on that may come in any order */
#define EC_UPLOAD_BLOCKS 0x10000u /* of an image, at most: an index has 16 bits */

typedef struct {
    uint32_t size;     /* of the image, bytes; 0: no upload begun */
    uint32_t received; /* bytes that came, without a gap */
    uint32_t beyond;   /* bit i: the i-th block from there on came. Bit 0 is never set */
    uint32_t name;     /* what the host calls the image */
    uint16_t block;    /* bytes of every block but the last; 0: the upload does not come in blocks */
    uint8_t number;    /* of this upload: blocks with another number are late ones of an earlier */
} ec_upload;

/* Begins an upload, whatever went before; with a block of 0 it comes in order, by received += length. */
void ec_upload_begin(ec_upload *upload, uint32_t size, uint32_t name, uint16_t block);

/* Ends it: nothing more comes. */
void ec_upload_end(ec_upload *upload);

/* Goes on with an upload of this image, if it is the one that is on its way. Blocks of another size
 * are counted anew from the last whole one before the first gap. */
bool ec_upload_resume(ec_upload *upload, uint32_t size, uint32_t name, uint16_t block);

/* Takes the block of that index, with `length` bytes. Tells where it goes; false for what came before,
 * is too far ahead, or is no block of the image. */
bool ec_upload_take(ec_upload *upload, uint16_t index, uint32_t length, uint32_t *offset);

#endif
