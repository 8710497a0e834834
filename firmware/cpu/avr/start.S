/* From reset to main: stack, .data from flash, .bss. link.ld gives the symbols. */
#include "ec_asm.h"

#define SREG 0x3F
#define SPH  0x3E
#define SPL  0x3D

    .section .text._start, "ax", @progbits
    .global _start
    .type _start, @function
_start:
    clr     r1                      /* which compiled code takes for a zero */
    out     SREG, r1
    ldi     r24, hi8(link_stack_top)
    out     SPH, r24
    ldi     r24, lo8(link_stack_top)
    out     SPL, r24

/* By these names compilers ask for what follows, or their library brings its own. */
    .global __do_copy_data
__do_copy_data:
    ldi     r24, lo8(link_data_start)
    ldi     r25, hi8(link_data_start)
    ldi     r22, lo8(link_data_load)
    ldi     r23, hi8(link_data_load)
    ldi     r20, lo8(link_data_size)
    ldi     r21, hi8(link_data_size)
    call    cpu_read_flash

    .global __do_clear_bss
__do_clear_bss:
    ldi     r26, lo8(link_bss_start)
    ldi     r27, hi8(link_bss_start)
    ldi     r24, lo8(link_bss_end)
    ldi     r25, hi8(link_bss_end)
    rjmp    more
clear:
    st      X+, r1
more:
    cp      r26, r24
    cpc     r27, r25
    brne    clear

    clr     r20
    clr     r21
    movw    r22, r20
    movw    r24, r20
    call    main
    jmp     _start
    .size _start, . - _start
    stack_size _start, 0

/* void cpu_read_flash(void *to, const void *flash, uint16_t size)
 *
 * From the first 64 KB. */
    .section .text.cpu_read_flash, "ax", @progbits
    .global cpu_read_flash
    .type cpu_read_flash, @function
cpu_read_flash:
    movw    r26, r24
    movw    r30, r22
    rjmp    left
copy:
    lpm     r24, Z+
    st      X+, r24
left:
    subi    r20, 1
    sbci    r21, 0
    brcc    copy
    ret
    .size cpu_read_flash, . - cpu_read_flash
    stack_size cpu_read_flash, 3
