/* Compiled with this instruction set's flags, and empty where the architecture has none such. */
#if defined(__AVX512BW__)

#define KERNEL       ec_kernel_avx512
#define KERNEL_TITLE "avx512"
#define WIDEST_ROW   512

#include "kernel_body.h"

#endif
