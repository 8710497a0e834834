/* What this x86-64 processor can do, and its system lets it: CPUID leaves 1 and 7, XCR0 (Intel SDM
 * volume 2, CPUID and XGETBV). Asked by hand, since not every compiler's __builtin_cpu_supports works.
 */
#ifndef EC_CPU_X86_H
#define EC_CPU_X86_H

#include <cpuid.h>
#include <stdbool.h>

/* EBX of leaf 7 */
#define CPU_BMI1     (1u << 3)
#define CPU_AVX2     (1u << 5)
#define CPU_BMI2     (1u << 8)
#define CPU_AVX512F  (1u << 16)
#define CPU_AVX512DQ (1u << 17)
#define CPU_AVX512BW (1u << 30)
#define CPU_AVX512VL (1u << 31)

/* XCR0: which registers the system saves */
#define CPU_SAVES_YMM 0x06u
#define CPU_SAVES_ZMM 0xE6u

static inline bool cpu_has(unsigned features, unsigned saved)
{
    const unsigned popcnt = 1u << 23, osxsave = 1u << 27; /* ECX of leaf 1 */
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (popcnt | osxsave)) != (popcnt | osxsave))
        return false;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & saved) != saved)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & features) == features;
}

#endif
