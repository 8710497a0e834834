/* STM32VLDISCOVERY: an STM32F100 and a crystal of 8 MHz (sections of RM0041). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_USART       0x40013800u /* USART1 */
#define BOARD_USART_IRQ   37
#define BOARD_USART_HZ    24000000u
#define BOARD_RESET_FLAGS 0x40021024u
#define BOARD_UNIQUE_ID   0x1FFFF7E8u /* 27.2 */

/* Crystal x 3 = 24 MHz, on all buses; the flash needs no wait state. */
#define BOARD_SETUP                                                                      \
    {                                                                                    \
        {0x40021000u, 0, 1u << 16, 1u << 17},       /* 6.3.1: HSE on */                  \
        {0x40021004u, 0xFu << 18, 1u << 16 | 1u << 18, 0}, /* 6.3.2: x 3 */              \
        {0x40021000u, 0, 1u << 24, 1u << 25},       /* PLL on */                         \
        {0x40021004u, 3, 2, 2u << 2},               /* to the PLL */                     \
        {0x40021018u, 0, 1u << 2 | 1u << 14, 0},    /* 6.3.7: GPIOA, USART1 */           \
        {0x4001080Cu, 0, 1u << 10, 0},              /* 7.2.4: PA10 is high if it is open */ \
        {0x40010804u, 0xFFu << 4, 0x8Bu << 4, 0},   /* 7.2.2: PA9, PA10 are its pins */  \
    }

#endif
