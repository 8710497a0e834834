/* The virtual device's line: one client on a TCP socket of this computer, or a pseudo terminal.
 *
 * There is one line in the process, with one client: who else connects to the socket is turned away
 * at once, and nothing that it sent is read. A client that leaves makes room for the next; the device
 * does not notice, like a board whose cable is pulled.
 */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stdint.h>

/* Open the line and print its address, the one output of the program. Port 0 is any free one. With
 * `once` the process ends when its client leaves. Trouble ends the process with a message. */
void line_open_tcp(uint16_t port, bool once);
void line_open_pty(void);

/* Bytes that wait to be read. */
uint32_t line_pending(void);

/* Up to `capacity` of them. Never blocks. */
uint32_t line_read(uint8_t *bytes, uint32_t capacity);

/* Blocks for at most 1 s in all, then drops what nobody took; drops all at once without a client. */
void line_write(const uint8_t *bytes, uint32_t length);

/* Sleeps until bytes or a client came. Call it whenever there is nothing to read: clients are welcomed
 * and turned away here. most_ns: less than a second. */
void line_wait(uint32_t most_ns);

#endif
