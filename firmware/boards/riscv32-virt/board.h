/* QEMU's virt machine. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_UART     0x10000000u
#define BOARD_UART_IRQ 10
#define BOARD_UART_HZ  3686400u
#define BOARD_CLINT    0x02000000u
#define BOARD_PLIC     0x0C000000u
#define BOARD_MTIME_HZ 10000000u

#endif
