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

/* The names that clang calls by (Run-time ABI for the Arm Architecture, 4.3.4). */
#define ALIAS(name) __attribute__((alias(name)))

void *__aeabi_memcpy(void *to, const void *from, size_t length) ALIAS("memcpy");
void *__aeabi_memcpy4(void *to, const void *from, size_t length) ALIAS("memcpy");
void *__aeabi_memcpy8(void *to, const void *from, size_t length) ALIAS("memcpy");
void *__aeabi_memmove(void *to, const void *from, size_t length) ALIAS("memmove");
void *__aeabi_memmove4(void *to, const void *from, size_t length) ALIAS("memmove");
void *__aeabi_memmove8(void *to, const void *from, size_t length) ALIAS("memmove");
void __aeabi_memset(void *to, size_t length, int value);
void __aeabi_memset4(void *to, size_t length, int value) ALIAS("__aeabi_memset");
void __aeabi_memset8(void *to, size_t length, int value) ALIAS("__aeabi_memset");
void __aeabi_memclr(void *to, size_t length);
void __aeabi_memclr4(void *to, size_t length) ALIAS("__aeabi_memclr");
void __aeabi_memclr8(void *to, size_t length) ALIAS("__aeabi_memclr");

void __aeabi_memset(void *to, size_t length, int value)
{
    (void)memset(to, value, length);
}

void __aeabi_memclr(void *to, size_t length)
{
    (void)memset(to, 0, length);
}
