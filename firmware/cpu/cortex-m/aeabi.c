/* The names by which clang calls memcpy and the like (Run-time ABI for the Arm Architecture, 4.3.4). */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);

void __aeabi_memcpy(void *restrict to, const void *restrict from, size_t length);
void __aeabi_memmove(void *to, const void *from, size_t length);
void __aeabi_memset(void *to, size_t length, int value);
void __aeabi_memclr(void *to, size_t length);

#define ALIAS(name) __attribute__((alias(name)))

void __aeabi_memcpy4(void *restrict to, const void *restrict from, size_t length) ALIAS("__aeabi_memcpy");
void __aeabi_memcpy8(void *restrict to, const void *restrict from, size_t length) ALIAS("__aeabi_memcpy");
void __aeabi_memmove4(void *to, const void *from, size_t length) ALIAS("__aeabi_memmove");
void __aeabi_memmove8(void *to, const void *from, size_t length) ALIAS("__aeabi_memmove");
void __aeabi_memset4(void *to, size_t length, int value) ALIAS("__aeabi_memset");
void __aeabi_memset8(void *to, size_t length, int value) ALIAS("__aeabi_memset");
void __aeabi_memclr4(void *to, size_t length) ALIAS("__aeabi_memclr");
void __aeabi_memclr8(void *to, size_t length) ALIAS("__aeabi_memclr");

void __aeabi_memcpy(void *restrict to, const void *restrict from, size_t length)
{
    (void)memcpy(to, from, length);
}

void __aeabi_memmove(void *to, const void *from, size_t length)
{
    (void)memmove(to, from, length);
}

void __aeabi_memset(void *to, size_t length, int value)
{
    (void)memset(to, value, length);
}

void __aeabi_memclr(void *to, size_t length)
{
    (void)memset(to, 0, length);
}
