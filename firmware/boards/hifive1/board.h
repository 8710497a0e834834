/* SiFive HiFive1: USB shows UART0 as a serial port. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_CRYSTAL_HZ 16000000u

#endif
