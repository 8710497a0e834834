/* Arm MPS2 with application note 385 (DAI 0385, tables 3-1 and 3-3). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_TIMER            0x40000000u
#define BOARD_UART             0x40004000u
#define BOARD_UART_RX_IRQ      0
#define BOARD_RESET_INFO       0x4001F010u /* RSTINFO; a one clears a bit */
#define BOARD_RESET_SOFTWARE   5u          /* SYSRESETREQ, LOCKUPRESET */
#define BOARD_RESET_WATCHDOG   2u
#define BOARD_RESET_CLEAR(was) (was)

#endif
