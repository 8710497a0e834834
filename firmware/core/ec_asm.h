/* For assembly: tells the stack that a function needs, as compilers do for C. `ecedge build` adds up
 * what the sections .stack_sizes hold. */
#ifndef EC_ASM_H
#define EC_ASM_H

    .macro stack_size name, bytes
#ifdef __AVR__ /* whose assembler can't tie a section to another */
    .pushsection .stack_sizes.text.\name, "", @progbits
#else
    .pushsection .stack_sizes, "o", %progbits, .text.\name
#endif
    .4byte \name
    .uleb128 \bytes
    .popsection
    .endm

#endif
