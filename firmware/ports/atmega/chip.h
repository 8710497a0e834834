/* ATmega with USART0 and Timer1 (ATmega48A/PA/88A/PA/168A/PA/328/P data sheet, DS40002061, sections in
 * brackets; ATmega640/1280/1281/2560/2561, DS40002211, has the same registers). The board's board.h
 * tells the numbers of the chip's vectors: BOARD_UART_VECTOR, BOARD_TIMER_VECTOR. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#include "avr.h"
#include "board.h"

#define REGISTER8(address)  (*(volatile uint8_t *)(address))
#define REGISTER16(address) (*(volatile uint16_t *)(address))

/* Reset and watchdog [11.9] */
#define MCUSR      REGISTER8(0x54u)
#define MCUSR_PORF (1u << 0)
#define MCUSR_EXT  (1u << 1)
#define MCUSR_BORF (1u << 2)
#define MCUSR_WDRF (1u << 3)
#define WDTCSR     REGISTER8(0x60u)
#define WDTCSR_OFF 0x18u /* allows the next write, within four clocks, to turn it off */

/* Timer1 [16.11] */
#define TCCR1A     REGISTER8(0x80u)
#define TCCR1B     REGISTER8(0x81u)
#define TCCR1B_RUN 1u /* with the core's clock */
#define TCNT1      REGISTER16(0x84u)
#define TIMSK1     REGISTER8(0x6Fu)
#define TIFR1      REGISTER8(0x36u)
#define TIMER_TOV1 (1u << 0)

/* USART0 [20.11] */
#define UCSR0A      REGISTER8(0xC0u)
#define UCSR0A_U2X  (1u << 1)
#define UCSR0A_UDRE (1u << 5)
#define UCSR0B      REGISTER8(0xC1u)
#define UCSR0B_ON   0x98u /* receiver, its interrupt, transmitter */
#define UCSR0C      REGISTER8(0xC2u)
#define UCSR0C_8N1  6u
#define UBRR0L      REGISTER8(0xC4u)
#define UBRR0H      REGISTER8(0xC5u)
#define UDR0        REGISTER8(0xC6u)

void atmega_uart_received(void) AVR_INTERRUPT;
void atmega_timer_overflow(void) AVR_INTERRUPT;

#define CHIP_INTERRUPTS                                  \
    [BOARD_UART_VECTOR] = AVR_TO(atmega_uart_received), \
    [BOARD_TIMER_VECTOR] = AVR_TO(atmega_timer_overflow)

#endif
