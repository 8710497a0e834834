#define _DEFAULT_SOURCE   /* cfmakeraw */
#define _XOPEN_SOURCE 700 /* pseudo terminals */

#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define WRITE_MS 1000

static int listener = -1; /* none for a pseudo terminal */
static int client = -1;
static bool ends_with_client;

static void give_up(const char *what)
{
    fprintf(stderr, "vdev: can't %s: %s\n", what, strerror(errno));
    exit(1);
}

static void unblock(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        give_up("set up the line");
}

void line_open_tcp(uint16_t port, bool once)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    int yes = 1;
    ends_with_client = once;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        give_up("listen on this port");
    unblock(listener);
    printf("ecedge virtual device on socket://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
}

void line_open_pty(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        give_up("open a pseudo terminal");
    /* The other end stays open here too: without it, reading fails while there is no client. */
    const char *name = ptsname(master);
    int slave = name ? open(name, O_RDWR | O_NOCTTY) : -1;
    struct termios settings;
    if (slave < 0 || tcgetattr(slave, &settings) != 0)
        give_up("open a pseudo terminal");
    cfmakeraw(&settings);
    if (tcsetattr(slave, TCSANOW, &settings) != 0)
        give_up("set up the pseudo terminal");
    client = master;
    unblock(client);
    printf("ecedge virtual device on %s\n", name);
    fflush(stdout);
}

static void welcome(void)
{
    int yes = 1;
    client = accept(listener, NULL, NULL);
    if (client < 0)
        return;
    unblock(client);
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void turn_away(void)
{
    int newcomer = accept(listener, NULL, NULL);
    if (newcomer >= 0)
        close(newcomer);
}

static void part(void)
{
    if (listener < 0)
        return; /* a pseudo terminal has no one to part with */
    close(client);
    client = -1;
    if (ends_with_client)
        exit(0);
}

uint32_t line_pending(void)
{
    int pending = 0;
    if (client < 0 || ioctl(client, FIONREAD, &pending) != 0 || pending < 0)
        return 0;
    return (uint32_t)pending;
}

uint32_t line_read(uint8_t *bytes, uint32_t capacity)
{
    if (client < 0)
        return 0;
    ssize_t count = read(client, bytes, capacity);
    if (count > 0)
        return (uint32_t)count;
    if (count == 0 || (errno != EAGAIN && errno != EINTR))
        part();
    return 0;
}

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void line_write(const uint8_t *bytes, uint32_t length)
{
    int64_t deadline = milliseconds() + WRITE_MS;
    while (client >= 0 && length > 0) {
        struct pollfd room = {.fd = client, .events = POLLOUT};
        ssize_t count = write(client, bytes, length);
        if (count > 0) {
            bytes += count;
            length -= (uint32_t)count;
        } else if (errno == EAGAIN) {
            int64_t left = deadline - milliseconds();
            if (left <= 0 || poll(&room, 1, (int)left) == 0)
                return;
        } else if (errno != EINTR) {
            part();
            return;
        }
    }
}

void line_wait(uint32_t most_ns)
{
    struct timespec timeout = {.tv_nsec = most_ns};
    fd_set ready;
    FD_ZERO(&ready);
    if (listener >= 0)
        FD_SET(listener, &ready);
    if (client >= 0)
        FD_SET(client, &ready);
    int highest = listener > client ? listener : client;
    if (pselect(highest + 1, &ready, NULL, NULL, &timeout, NULL) <= 0)
        return;
    /* The listener, opened first, is looked at first: whoever came because the client left finds its
     * end in `ready` too. */
    if (listener < 0 || !FD_ISSET(listener, &ready))
        return;
    if (client < 0)
        welcome();
    else if (!FD_ISSET(client, &ready))
        turn_away();
}
