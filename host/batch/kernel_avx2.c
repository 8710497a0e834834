/* Compiled with this instruction set's flags, and empty where the architecture has none such. */
#if defined(__AVX2__)

#define KERNEL       ec_kernel_avx2
#define KERNEL_TITLE "avx2"
#define WIDEST_ROW   256

#include "kernel_body.h"

#endif
