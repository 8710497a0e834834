/* Arduino Uno R3: ATmega328P, whose vectors its data sheet numbers from 1 (DS40002061, 12.4). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_TIMER_VECTOR 13
#define BOARD_UART_VECTOR  18

#endif
