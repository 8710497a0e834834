/* The AVR core (AVR Instruction Set Manual, DS40002198): interrupts and sleep. */
#ifndef AVR_H
#define AVR_H

#include <stdint.h>

/* A handler: saves all that it uses. The port's chip.h declares its own so. */
#define AVR_INTERRUPT __attribute__((signal, used))
#pragma GCC diagnostic ignored "-Wmisspelled-isr" /* which allows names of avr-libc alone */

/* An entry of the vector table: the instruction `jmp`, whose second word is the address, in words. */
typedef struct {
    uint16_t jmp;
    void (*handler)(void);
} avr_vector;

#define AVR_JMP      0x940Cu
#define AVR_TO(name) {AVR_JMP, name}

/* SREG, with the enable of interrupts; sleep mode control (ATmega328P data sheet, 7.3, 10.11.1). */
#define AVR_SREG    (*(volatile uint8_t *)0x5Fu)
#define AVR_SMCR    (*(volatile uint8_t *)0x53u)
#define AVR_SMCR_SE 1u /* idle: all but the core's clock goes on */

#endif
