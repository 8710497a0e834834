/* Stellaris LM3S6965 evaluation board. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_CRYSTAL 0xEu /* 8 MHz */

#endif
