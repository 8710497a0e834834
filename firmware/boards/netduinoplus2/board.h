/* Netduino Plus 2 and other boards with an STM32F405 and a crystal of 25 MHz (sections of RM0090). */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_USART       0x40011000u /* USART1 */
#define BOARD_USART_IRQ   37
#define BOARD_USART_HZ    84000000u
#define BOARD_RESET_FLAGS 0x40023874u
#define BOARD_UNIQUE_ID   0x1FFF7A10u /* 39.1 */

/* Crystal / 25 x 336 / 2 = 168 MHz; the buses have a quarter and a half of it. */
#define BOARD_SETUP                                                                           \
    {                                                                                         \
        {0x40023800u, 0, 1u << 16, 1u << 17},            /* 7.3.1: HSE on */                  \
        {0x40023C00u, 7, 5u | 7u << 8, 5},               /* 3.9.1: 5 wait states, caches */   \
        {0x40023808u, 0, 5u << 10 | 4u << 13, 0},        /* 7.3.3: APB1 / 4, APB2 / 2 */      \
        {0x40023804u, 0x0F437FFFu, 25u | 336u << 6 | 1u << 22 | 7u << 24, 0}, /* 7.3.2 */     \
        {0x40023800u, 0, 1u << 24, 1u << 25},            /* PLL on */                         \
        {0x40023808u, 3, 2, 2u << 2},                    /* to the PLL */                     \
        {0x40023830u, 0, 1u << 0, 0},                    /* 7.3.10: GPIOA */                  \
        {0x40023844u, 0, 1u << 4, 0},                    /* 7.3.14: USART1 */                 \
        {0x40020024u, 0xFFu << 4, 0x77u << 4, 0},        /* 8.4.10: PA9, PA10 are its pins */ \
        {0x40020000u, 0xFu << 18, 0xAu << 18, 0},        /* 8.4.1 */                          \
    }

#endif
