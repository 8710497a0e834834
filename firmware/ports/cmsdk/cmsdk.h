/* Registers of ARM's Cortex-M System Design Kit peripherals (DDI 0479, chapter 4), of ARMv7-M
 * (DDI 0403, B3) and what the files of this port share. The board's board.h says where they are:
 *
 *   BOARD_UART, BOARD_TIMER, BOARD_SYSTEM_CONTROLLER   base addresses
 *   BOARD_UART_RX_IRQ                                  interrupt number
 */
#ifndef CMSDK_H
#define CMSDK_H

#include <stdint.h>

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t ctrl;
    volatile uint32_t intclear; /* reads as INTSTATUS */
    volatile uint32_t bauddiv;  /* 16 or more */
} cmsdk_uart;

#define UART_STATE_TX_FULL (1u << 0)
#define UART_STATE_RX_FULL (1u << 1)
#define UART_CTRL_TX       (1u << 0)
#define UART_CTRL_RX       (1u << 1)
#define UART_CTRL_RX_INT   (1u << 3)
#define UART_INT_RX        (1u << 1)

typedef struct {
    volatile uint32_t ctrl;
    volatile uint32_t value; /* counts down */
    volatile uint32_t reload;
    volatile uint32_t intclear;
} cmsdk_timer;

#define TIMER_CTRL_ENABLE (1u << 0)

#define CMSDK_RSTINFO_OFFSET 0x10u /* in the system controller; a one clears a bit */
#define RSTINFO_SYSRESETREQ  (1u << 0)
#define RSTINFO_WDOGRESETREQ (1u << 1)
#define RSTINFO_LOCKUPRESET  (1u << 2)

typedef struct {
    volatile uint32_t ctrl;
    volatile uint32_t load; /* 24 bits */
    volatile uint32_t val;
} cortex_systick;

#define SYSTICK            ((cortex_systick *)0xE000E010u)
#define SYSTICK_CTRL_RUN   7u /* core clock, interrupt, enable */
#define NVIC_ISER0         (*(volatile uint32_t *)0xE000E100u)
#define SCB_AIRCR          (*(volatile uint32_t *)0xE000ED0Cu)
#define AIRCR_SYSRESETREQ  0x05FA0004u
#define SCB_CPACR          (*(volatile uint32_t *)0xE000ED88u)
#define CPACR_FPU          (0xFu << 20)

/* The interrupt of the UART: a byte came. The vector table leads to it. */
void cmsdk_uart_received(void);

#endif
