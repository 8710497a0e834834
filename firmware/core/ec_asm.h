/* For assembly: tells the stack that a function needs, as compilers do for C. `ecedge build` adds up
 * what the sections .stack_sizes hold. */
#ifndef EC_ASM_H
#define EC_ASM_H

    .macro stack_size name, bytes
    .pushsection .stack_sizes, "o", %progbits, .text.\name
    .4byte \name
    .uleb128 \bytes
    .popsection
    .endm

#endif
