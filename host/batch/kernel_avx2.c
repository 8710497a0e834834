/* Compiled with this instruction set's flags, and empty where the architecture has none such. */
#if defined(__AVX2__)

#include <stdbool.h>

#define KERNEL           ec_kernel_avx2
#define KERNEL_TITLE     "avx2"
#define KERNEL_SUPPORTED supported_here
#define WIDEST_ROW       256

static bool supported_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

#include "kernel_body.h"

#endif
