/* Netduino Plus 2: an STM32F405 and a crystal of 25 MHz (sections of RM0090). The serial line is that of
 * the header: D1 sends, D0 receives. USART1's pins have the USB and the blue LED. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_USART       0x40011400u /* USART6 */
#define BOARD_USART_IRQ   71
#define BOARD_USART_HZ    84000000u
#define BOARD_RESET_FLAGS 0x40023874u
#define BOARD_UNIQUE_ID   0x1FFF7A10u /* 39.1 */

/* Crystal / 25 x 336 / 2 = 168 MHz; the buses have a quarter and a half of it. */
#define BOARD_SETUP                                                                            \
    {                                                                                          \
        {0x40023800u, 0, 1u << 16, 1u << 17},            /* 7.3.1: HSE on */                   \
        {0x40023C00u, 7, 5u | 7u << 8, 5},               /* 3.9.1: 5 wait states, caches */    \
        {0x40023808u, 0, 5u << 10 | 4u << 13, 0},        /* 7.3.3: APB1 / 4, APB2 / 2 */       \
        {0x40023804u, 0x0F437FFFu, 25u | 336u << 6 | 1u << 22 | 7u << 24, 0}, /* 7.3.2 */      \
        {0x40023800u, 0, 1u << 24, 1u << 25},            /* PLL on */                          \
        {0x40023808u, 3, 2, 2u << 2},                    /* to the PLL */                      \
        {0x40023830u, 0, 1u << 2, 0},                    /* 7.3.10: GPIOC */                   \
        {0x40023844u, 0, 1u << 5, 0},                    /* 7.3.14: USART6 */                  \
        {0x4002080Cu, 3u << 14, 1u << 14, 0},            /* 8.4.4: PC7 is high if it is open */\
        {0x40020820u, 0xFFu << 24, 0x88u << 24, 0},      /* 8.4.9: PC6, PC7 are its pins */    \
        {0x40020800u, 0xFu << 12, 0xAu << 12, 0},        /* 8.4.1 */                           \
    }

#endif
