/* Arduino Mega 2560: its vectors, which the data sheet numbers from 1 (DS40002211, 14.1). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_TIMER_VECTOR 20
#define BOARD_UART_VECTOR  25

#endif
