/* Arm MPS2+ with application note 505 (DAI 0505): the secure aliases, in which the core starts. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_TIMER            0x50000000u
#define BOARD_UART             0x50200000u
#define BOARD_UART_RX_IRQ      32
#define BOARD_RESET_INFO       0x50021100u /* RESET_SYNDROME of the IoT kit (ECM 0601256) */
#define BOARD_RESET_SOFTWARE   0u          /* not told */
#define BOARD_RESET_WATCHDOG   6u          /* the non-secure and the secure one */
#define BOARD_RESET_CLEAR(was) 0u

#endif
