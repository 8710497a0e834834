/* Raspberry Pi Pico (data sheet, 2.1): the serial line is on its pins 1 and 2. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_UART_TX_PIN 0u
#define BOARD_UART_RX_PIN 1u

#endif
