/* From reset to main: trap vector, stack, .data, .bss. link.ld gives the symbols. */
#include "ec_asm.h"

    .section .text._start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    csrci   mstatus, 8
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, link_stack_top
    la      t0, vectors
    lw      t0, 0(t0)
    csrw    mtvec, t0
    csrw    mie, zero

    la      t0, link_data_start
    la      t1, link_data_end
    la      t2, link_data_load
copy:
    bgeu    t0, t1, copied
    lw      t3, 0(t2)
    sw      t3, 0(t0)
    addi    t0, t0, 4
    addi    t2, t2, 4
    j       copy
copied:
    la      t0, link_bss_start
    la      t1, link_bss_end
clear:
    bgeu    t0, t1, cleared
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       clear
cleared:
    li      a0, 0
    li      a1, 0
    call    main
    j       _start
    .size _start, . - _start
    stack_size _start, 0

/* Not called, but kept: the one interrupt. */
    .section .vectors, "a", @progbits
    .balign 4
vectors:
    .word   riscv_trap
