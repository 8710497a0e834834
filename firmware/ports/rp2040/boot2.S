/* The second stage of booting (RP2040 data sheet, 2.8.1.3): the first 256 bytes of the flash, which
 * the boot ROM copies to the end of RAM and enters there if their CRC is right.
 *
 * It lets the core read the flash where it stands, by the serial read that all flashes know: one
 * command byte 03h, three bytes of address, data on one line. The flash's clock is that of the core
 * divided by 4, 31.25 MHz at 125 MHz: within the 50 MHz of a slow flash. Then the program begins.
 */
#define SSI         0x18000000 /* 4.10.13 */
#define SSI_CTRLR0  0x00
#define SSI_CTRLR1  0x04
#define SSI_SSIENR  0x08
#define SSI_BAUDR   0x14
#define SSI_SPI     0xF4 /* SPI_CTRLR0 */

#define EEPROM_READ (3 << 8)   /* TMOD: send a command, then receive */
#define WORDS       (31 << 16) /* DFS_32: 32 bits of data */

#define ADDRESS_24  (6 << 2) /* ADDR_L, in 4 bits */
#define COMMAND_8   (2 << 8) /* INST_L */
#define READ        (0x03 << 24)

#define VTOR        0xE000ED08
#define VECTORS     0x10000100 /* behind this */

    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .boot, "a"

    ldr r3, ssi
    movs r0, #0
    str r0, [r3, #SSI_SSIENR] /* it takes settings only while it is off */
    str r0, [r3, #SSI_CTRLR1] /* one word at a time */
    movs r1, #4
    str r1, [r3, #SSI_BAUDR]
    ldr r1, ctrlr0
    str r1, [r3, #SSI_CTRLR0]
    movs r2, #SSI_SPI
    ldr r1, spi
    str r1, [r3, r2]
    movs r1, #1
    str r1, [r3, #SSI_SSIENR]

    ldr r3, vectors
    ldr r2, vtor
    str r3, [r2]
    ldmia r3!, {r0, r1} /* the stack's top, and where to begin */
    msr msp, r0
    bx r1

    .balign 4
ssi:
    .word SSI
ctrlr0:
    .word EEPROM_READ | WORDS
spi:
    .word ADDRESS_24 | COMMAND_8 | READ
vectors:
    .word VECTORS
vtor:
    .word VTOR

    .org 252
    .word 0x0307D449 /* the CRC-32 of the above (2.8.1.3.1): tests/test_rp2040.py computes it */
