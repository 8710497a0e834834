/* The firmware's port to this computer: the virtual device.
 *
 *     vdev --tcp PORT | --pty  [--baud N] [--boot-count N] [--once] [--flash FILE] [--cut N]
 *
 * Its flash is a file, or forgotten with the process. --cut: the power fails at the Nth page that is
 * erased or word that is written, in the middle of it.
 *
 * It ends on SIGTERM and SIGINT, and by itself when the process that started it is gone.
 */
#define _XOPEN_SOURCE 700

#include "ec_port.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ec_config.h"
#include "ec_device.h"
#include "line.h"

#define NS_PER_S  1000000000u
#define NS_PER_MS 1000000u
#define LEAST_BAUD 300u
#define MOST_BAUD  100000000u

static pid_t parent;
static uint32_t boot_count;
static uint64_t start_ns;

/* A slow line: 10 bits a byte, both ways. */
static uint32_t board_baud = EC_BAUD; /* 0: as fast as the computer */
static uint64_t byte_ns;              /* 0 with it */
static uint64_t heard_ns; /* when the last byte taken had come in */
static uint64_t sent_ns;  /* when the last byte sent will be out */
static bool hearing;      /* bytes are coming in, or wait to be taken */

static uint64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t when_ns)
{
    uint64_t now_ns = nanoseconds();
    if (when_ns <= now_ns)
        return;
    uint64_t left = when_ns - now_ns;
    struct timespec t = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
    nanosleep(&t, NULL);
}

/* Of a line that has a speed at all. */
bool ec_port_can_baud(uint32_t baud)
{
    return board_baud > 0 && baud >= LEAST_BAUD && baud <= MOST_BAUD;
}

void ec_port_set_baud(uint32_t baud)
{
    if (baud == 0)
        baud = board_baud;
    byte_ns = baud > 0 ? 10ull * NS_PER_S / baud : 0;
}

/* ---- flash ---- */

#define FLASH_SIZE ((size_t)(EC_FLASH_PAGES) * (EC_FLASH_PAGE))

static const char *flash_file;
static uint32_t until_cut; /* operations; 0: never */
static uint8_t *flash;

/* As a part has it when it is new: what no file tells is zeros, and no snapshot. */
static void open_flash(void)
{
    static uint8_t forgotten[FLASH_SIZE];
    flash = forgotten;
    if (!flash_file)
        return;
    int file = open(flash_file, O_RDWR | O_CREAT, 0666);
    void *kept = MAP_FAILED;
    if (file >= 0 && ftruncate(file, (off_t)FLASH_SIZE) == 0)
        kept = mmap(NULL, FLASH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (kept == MAP_FAILED) {
        perror(flash_file);
        exit(2);
    }
    flash = kept;
}

/* Whether this operation is the one in which the power fails. */
static bool is_cut(void)
{
    return until_cut > 0 && --until_cut == 0;
}

bool ec_port_flash_erase(uint32_t page)
{
    uint8_t *at = flash + (size_t)page * EC_FLASH_PAGE;
    bool cut = is_cut();
    memset(at, 0xFF, cut ? EC_FLASH_PAGE / 2u : EC_FLASH_PAGE);
    if (cut)
        raise(SIGKILL);
    return true;
}

bool ec_port_flash_write(uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        flash[offset + i] &= bytes[i]; /* no bit comes back but by an erase */
        if (i % 4u == 1 && is_cut())
            raise(SIGKILL);
    }
    return true;
}

void ec_port_flash_read(uint32_t offset, uint8_t *bytes, uint32_t size)
{
    memcpy(bytes, flash + offset, size);
}

static void exit_with_usage(void)
{
    fputs("usage: vdev --tcp PORT | --pty  [--baud N] [--boot-count N] [--once] [--flash FILE] [--cut N]\n",
          stderr);
    exit(2);
}

static uint32_t number(const char *text, uint32_t most)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        exit_with_usage();
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || value > most)
        exit_with_usage();
    return (uint32_t)value;
}

void ec_port_init(int argc, char **argv)
{
    bool pty = false, once = false;
    const char *tcp = NULL;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        const char *value = argv[i + 1]; /* argv ends with a null pointer */
        if (strcmp(option, "--pty") == 0) {
            pty = true;
        } else if (strcmp(option, "--once") == 0) {
            once = true;
        } else if (strcmp(option, "--tcp") == 0 && value) {
            tcp = value;
            i++;
        } else if (strcmp(option, "--baud") == 0) {
            board_baud = number(value, MOST_BAUD);
            i++;
        } else if (strcmp(option, "--boot-count") == 0) {
            boot_count = number(value, UINT32_MAX);
            i++;
        } else if (strcmp(option, "--flash") == 0 && value) {
            flash_file = value;
            i++;
        } else if (strcmp(option, "--cut") == 0) {
            until_cut = number(value, UINT32_MAX);
            i++;
        } else {
            exit_with_usage();
        }
    }
    if (pty == (tcp != NULL))
        exit_with_usage();

    open_flash();
    parent = getppid();
    start_ns = nanoseconds();
    ec_port_set_baud(0);
    signal(SIGINT, SIG_DFL); /* a shell starts its background jobs deaf to it */
    signal(SIGPIPE, SIG_IGN);
    if (pty)
        line_open_pty();
    else
        line_open_tcp((uint16_t)number(tcp, 65535), once);
}

/* How many of the pending bytes a line of this speed has brought by now. */
static uint32_t arrived(uint32_t pending)
{
    uint64_t now_ns = nanoseconds();
    if (!hearing && heard_ns < now_ns)
        heard_ns = now_ns;
    uint64_t count = now_ns > heard_ns ? (now_ns - heard_ns) / byte_ns : 0;
    return count < pending ? (uint32_t)count : pending;
}

uint32_t ec_port_read(uint8_t *bytes, uint32_t capacity)
{
    if (byte_ns == 0)
        return line_read(bytes, capacity);
    uint32_t pending = line_pending();
    if (pending == 0) {
        hearing = false;
        return line_read(bytes, capacity); /* notices a client that left */
    }
    uint32_t count = arrived(pending);
    if (count > 0)
        count = line_read(bytes, count < capacity ? count : capacity);
    heard_ns += count * byte_ns;
    hearing = count < pending;
    return count;
}

void ec_port_write(const uint8_t *bytes, uint32_t length)
{
    uint64_t now_ns = nanoseconds();
    sent_ns = (sent_ns > now_ns ? sent_ns : now_ns) + length * byte_ns;
    sleep_until(sent_ns);
    line_write(bytes, length);
}

void ec_port_idle(uint32_t ticks)
{
    if (getppid() != parent)
        exit(0);
    uint32_t most_ns = EC_PORT_IDLE_MS * NS_PER_MS;
    if (ticks < most_ns)
        most_ns = ticks;
    if (!hearing) {
        line_wait(most_ns);
        return;
    }
    uint64_t last_ns = heard_ns + line_pending() * byte_ns;
    uint64_t limit_ns = nanoseconds() + most_ns;
    sleep_until(last_ns < limit_ns ? last_ns : limit_ns);
}

uint32_t ec_port_milliseconds(void)
{
    return (uint32_t)((nanoseconds() - start_ns) / NS_PER_MS);
}

uint32_t ec_port_ticks(void)
{
    return (uint32_t)nanoseconds();
}

uint32_t ec_port_tick_hz(void)
{
    return NS_PER_S;
}

uint8_t ec_port_reset_cause(void)
{
    return EC_CAUSE_POWER_ON;
}

uint32_t ec_port_boot_count(void)
{
    return boot_count;
}

const uint8_t *ec_port_chip_id(void)
{
    static const uint8_t none[EC_CHIP_ID_SIZE] = {0};
    return none;
}
