/* BBC micro:bit v1: the interface chip's serial line (schematics V1.5). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_UART_TX_PIN 24u
#define BOARD_UART_RX_PIN 25u

#endif
