/* What every processor of the architecture has: SSE2 on x86-64, NEON on AArch64, else plain words. */
#define KERNEL     ec_kernel_baseline
#define WIDEST_ROW 128
#if defined(__SSE2__)
#define KERNEL_TITLE "sse2"
#elif defined(__ARM_NEON)
#define KERNEL_TITLE "neon"
#else
#define KERNEL_TITLE "plain"
#endif

#include "kernel_body.h"
