/* Compiled with this instruction set's flags, and empty where the architecture has none such. */
#if defined(__AVX512BW__)

#include <stdbool.h>

#define KERNEL           ec_kernel_avx512
#define KERNEL_TITLE     "avx512"
#define KERNEL_SUPPORTED supported_here
#define WIDEST_ROW       512

static bool supported_here(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

#include "kernel_body.h"

#endif
