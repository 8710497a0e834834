/* What compilers call by themselves and -nostdlib leaves out. The empty assembly keeps them from
 * seeing in these loops a call of the very function. */
#include <stddef.h>
#include <stdint.h>

#define OPAQUE() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *a, const void *b, size_t length);

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (length--) {
        *t++ = *f++;
        OPAQUE();
    }
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)to <= (uintptr_t)from)
        return memcpy(to, from, length);
    while (length--) {
        t[length] = f[length];
        OPAQUE();
    }
    return to;
}

void *memset(void *to, int value, size_t length)
{
    uint8_t *t = to;
    while (length--) {
        *t++ = (uint8_t)value;
        OPAQUE();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    while (length--) {
        if (*x != *y)
            return *x - *y;
        x++;
        y++;
        OPAQUE();
    }
    return 0;
}
