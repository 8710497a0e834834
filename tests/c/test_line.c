/* Writes to a pseudo terminal far more than whoever reads it will take, once, and says so. */
#include <stdio.h>

#include "line.h"

int main(void)
{
    static uint8_t bytes[1 << 20];
    line_open_pty();
    getchar(); /* the reader is there */
    line_write(bytes, sizeof bytes);
    puts("written");
    return 0;
}
