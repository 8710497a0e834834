/* Runs a program for an AVR in libsimavr: simavr MCU HZ FIRMWARE PORT
 *
 *   MCU, HZ    the chip by libsimavr's name, and its clock
 *   FIRMWARE   an ELF file; what its segments put below 0x800000 goes into flash
 *   PORT       of TCP on 127.0.0.1: USART0, for one host at a time; 0 takes a free one and tells it
 *
 *   host ──> incoming ──(XON)──> USART0 ──> program ──> USART0 ──> outgoing ──> host
 *
 * The chip's time is that of its instructions while it works, and of its line while bytes come and go,
 * however quickly this machine is done with them. While it sleeps it goes with this machine's clock,
 * and no core is kept busy.
 */
#define _POSIX_C_SOURCE 200809L
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_io.h>
#include <simavr/sim_irq.h>

#define UART        '0'
#define BYTE_BITS   10        /* 8N1, as ecedge's lines are */
#define FLASH_END   0x800000u /* where the ELF file's addresses of memory begin */
#define BATCH       1000      /* cycles that pass without a look at the line, where no timer ends */
#define SLICE       100       /* of those between looks at the network */
#define BYTE        200000    /* ns after a byte in which another comes or goes, at 57,600 baud or more */
#define LATE        50000000  /* ns behind this machine's clock that are made up for, no more */
#define EARLY       20000000  /* ns ahead of it, in which much of what a host asks for is done */
#define NANOSECONDS 1000000000

/* Bytes on their way; the host's are as many as it may send ahead. */
typedef struct {
    uint8_t bytes[1 << 16];
    size_t begin;
    size_t end;
} queue;

static avr_t *avr;
static avr_uart_t *uart;
static bool uart_takes; /* its queue is not full */
static int server = -1;
static int client = -1;
static queue incoming;
static queue outgoing;
static int64_t origin;          /* of the clock, ns, when the chip's cycles were 0 */
static avr_cycle_count_t moved; /* when a byte came or went last */
static bool waited;             /* for the host or the clock, since the last look at the network */

static void fail(const char *format, ...)
{
    va_list words;
    va_start(words, format);
    vfprintf(stderr, format, words);
    va_end(words);
    fputc('\n', stderr);
    exit(1);
}

static size_t held(const queue *q)
{
    return q->end - q->begin;
}

static size_t room(queue *q)
{
    if (q->begin > 0) {
        memmove(q->bytes, q->bytes + q->begin, held(q));
        q->end -= q->begin;
        q->begin = 0;
    }
    return sizeof q->bytes - q->end;
}

/* ---- the program ---- */

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    Elf32_Ehdr header;
    if (!file)
        fail("%s cannot be read: %s.", path, strerror(errno));
    if (fread(&header, sizeof header, 1, file) != 1 || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS32 || header.e_machine != EM_AVR)
        fail("%s is no program for an AVR.", path);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf32_Phdr segment;
        if (fseek(file, (long)(header.e_phoff + i * sizeof segment), SEEK_SET) != 0 ||
            fread(&segment, sizeof segment, 1, file) != 1)
            fail("%s is cut short.", path);
        if (segment.p_type != PT_LOAD || segment.p_filesz == 0 || segment.p_paddr >= FLASH_END)
            continue;
        if ((uint64_t)segment.p_paddr + segment.p_filesz > (uint64_t)avr->flashend + 1)
            fail("%s does not lie in the flash: %u bytes at %u.", path, (unsigned)segment.p_filesz,
                 (unsigned)segment.p_paddr);
        if (fseek(file, (long)segment.p_offset, SEEK_SET) != 0 ||
            fread(avr->flash + segment.p_paddr, segment.p_filesz, 1, file) != 1)
            fail("%s is cut short.", path);
    }
    fclose(file);
    avr->codeend = avr->flashend;
}

/* ---- the network ---- */

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
}

static void listen_on(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0)
        fail("There is no TCP here: %s.", strerror(errno));
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 1) != 0)
        fail("Cannot listen on port %u: %s.", port, strerror(errno));
    set_nonblocking(server);
    if (port == 0 && getsockname(server, (struct sockaddr *)&address, &size) == 0) {
        printf("socket://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
        fflush(stdout);
    }
}

static void hang_up(void)
{
    close(client);
    client = -1;
}

static void accept_host(void)
{
    int yes = 1;
    int fd = accept(server, NULL, NULL);
    if (fd < 0)
        return;
    if (client >= 0) { /* one at a time */
        close(fd);
        return;
    }
    client = fd;
    set_nonblocking(client);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void receive(void)
{
    size_t space = room(&incoming);
    if (client < 0 || space == 0)
        return;
    ssize_t count = recv(client, incoming.bytes + incoming.end, space, 0);
    if (count > 0)
        incoming.end += (size_t)count;
    else if (count == 0 || !would_block())
        hang_up();
}

/* What no host is there for is lost, as on a line. */
static void transmit(void)
{
    if (client < 0)
        outgoing.begin = outgoing.end = 0;
    if (held(&outgoing) == 0)
        return;
    ssize_t count = send(client, outgoing.bytes + outgoing.begin, held(&outgoing), MSG_NOSIGNAL);
    if (count > 0)
        outgoing.begin += (size_t)count;
    else if (!would_block())
        hang_up();
}

/* Waits for the host, at most so long. */
static bool wait_for_host(int64_t nanoseconds)
{
    fd_set readable;
    fd_set writable;
    struct timespec limit = {nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS};
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(server, &readable);
    if (client >= 0 && room(&incoming) > 0)
        FD_SET(client, &readable);
    if (client >= 0 && held(&outgoing) > 0)
        FD_SET(client, &writable);
    return pselect((client > server ? client : server) + 1, &readable, &writable, NULL, &limit, NULL) > 0;
}

static void look_at_network(void)
{
    receive(); /* learns that a host has gone, before the next one is met */
    accept_host();
    transmit();
}

/* ---- the line ---- */

static void on_sent(struct avr_irq_t *irq, uint32_t byte, void *context)
{
    (void)irq;
    (void)context;
    moved = avr->cycle;
    if (room(&outgoing) > 0)
        outgoing.bytes[outgoing.end++] = (uint8_t)byte;
}

static void feed(void)
{
    while (uart_takes && held(&incoming) > 0) {
        avr_raise_irq(uart->io.irq + UART_IRQ_INPUT, incoming.bytes[incoming.begin++]);
        moved = avr->cycle;
    }
}

/* The UART asks for bytes until it is full, and again when it has handed them over: those that follow
 * at once come a byte's time later, as on a line that is never idle. */
static void on_full(struct avr_irq_t *irq, uint32_t full, void *context)
{
    (void)irq;
    (void)context;
    if (full)
        uart_takes = false;
}

static void on_empty(struct avr_irq_t *irq, uint32_t empty, void *context)
{
    (void)irq;
    (void)context;
    moved = avr->cycle;
    if (empty) {
        uart_takes = true;
        feed();
    }
}

/* libsimavr's own count has a parity bit, which makes a line a tenth slower than the chip's. */
static void on_divisor(avr_t *chip, avr_io_addr_t address, uint8_t value, void *context)
{
    (void)address;
    (void)value;
    (void)context;
    unsigned divisor = 1u + avr_regbit_get(chip, uart->ubrrl) + 256u * avr_regbit_get(chip, uart->ubrrh);
    unsigned bit = divisor * (avr_regbit_get(chip, uart->u2x) ? 8u : 16u);
    uart->cycles_per_byte = BYTE_BITS * bit;
}

static avr_uart_t *find_uart(void)
{
    for (avr_io_t *io = avr->io_port; io; io = io->next) {
        avr_uart_t *found = (avr_uart_t *)io;
        if (strcmp(io->kind, "uart") == 0 && found->name == UART)
            return found;
    }
    fail("libsimavr knows no USART0 of the %s.", avr->mmcu);
    return NULL;
}

static void connect_line(void)
{
    uart = find_uart();
    uart->flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_register_io_write(avr, uart->ubrrl.reg, on_divisor, NULL);
    avr_irq_register_notify(uart->io.irq + UART_IRQ_OUTPUT, on_sent, NULL);
    avr_irq_register_notify(uart->io.irq + UART_IRQ_OUT_XON, on_empty, NULL);
    avr_irq_register_notify(uart->io.irq + UART_IRQ_OUT_XOFF, on_full, NULL);
}

/* ---- time ---- */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * NANOSECONDS + time.tv_nsec;
}

static int64_t nanoseconds_of(avr_cycle_count_t cycles)
{
    return (int64_t)((double)cycles * 1e9 / avr->frequency);
}

/* The chip's clock, on the scale of this machine's. */
static int64_t chip_time(void)
{
    return origin + nanoseconds_of(avr->cycle);
}

static void set_chip_time(int64_t time)
{
    origin = time - nanoseconds_of(avr->cycle);
}

/* libsimavr's hook for a chip that sleeps: `cycles` until its own next interrupt, by which the clock
 * goes on after it. What comes from the host ends it earlier, and lets the chip keep what it was
 * early. */
static void on_sleep(avr_t *chip, avr_cycle_count_t cycles)
{
    if (nanoseconds_of(chip->cycle + cycles - moved) < BYTE)
        return;
    waited = true;
    int64_t time = now();
    if (time - chip_time() > LATE)
        set_chip_time(time);
    int64_t begin = chip_time();
    int64_t end = begin + nanoseconds_of(cycles);
    bool called = held(&incoming) > 0 && uart_takes;
    if (!called) {
        transmit();
        called = end > time && wait_for_host(end - time);
    }
    if (called) {
        time = now();
        if (time < begin)
            set_chip_time(begin = time);
        if (time < end)
            end = time;
    }
    avr_cycle_count_t slept = (avr_cycle_count_t)((double)(end - begin) * avr->frequency / 1e9);
    if (slept < cycles)
        chip->cycle -= cycles - slept;
}

/* A chip that waits awake must not get far ahead. */
static void hold_back(void)
{
    int64_t early = chip_time() - now() - EARLY;
    struct timespec time = {early / NANOSECONDS, early % NANOSECONDS};
    if (early > 0)
        nanosleep(&time, NULL);
}

/* Of libsimavr, what is wrong alone. */
static void on_words(avr_t *chip, const int level, const char *format, va_list words)
{
    (void)chip;
    if (level == LOG_ERROR)
        vfprintf(stderr, format, words);
}

static void run(void)
{
    pid_t parent = getppid();
    origin = now();
    while (getppid() == parent) {
        look_at_network();
        waited = false;
        for (int i = 0; i < SLICE && !waited; i++) {
            if (held(&incoming) > 0)
                feed();
            int state = avr_run(avr);
            if (state == cpu_Done || state == cpu_Crashed)
                fail("The program stopped at %#x.", (unsigned)avr->pc);
        }
        hold_back();
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        fail("Say: simavr MCU HZ FIRMWARE PORT");
    avr_global_logger_set(on_words);
    avr = avr_make_mcu_by_name(argv[1]);
    if (!avr)
        fail("libsimavr knows no %s.", argv[1]);
    avr_init(avr);
    avr->frequency = (uint32_t)strtoul(argv[2], NULL, 10);
    avr->sleep = on_sleep;
    avr->run_cycle_limit = BATCH;
    load(argv[3]);
    connect_line();
    listen_on((unsigned)strtoul(argv[4], NULL, 10));
    run();
    return 0;
}
