/* A serial bus that keeps the time of its wire: serial_bus <baud> <bits of a character> <units> <registers> <dead unit>.
 *
 * Behind each unit number stands a libmodbus slave on a pty of its own, but for the dead one. The master's end is a pty
 * too. Octets go from end to end no sooner than their bits would: each begins when it was handed over and the one
 * before it has ended, and arrives at its end. As from a UART's buffer, up to FIFO octets arrive together, at the end of
 * the last of them.
 *
 * Prints the master's path. Each line that comes on standard input is answered with what happened since the last, as
 * JSON; times are in ns. It ends with its standard input. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { FIFO = 8, ROOM = 1024, UNITS_MAX = 247, PATH_MAX_OCTETS = 64 };

/* One direction of the wire: octets on their way, with the time at which each has left the wire. */
typedef struct {
    uint8_t octet[ROOM];
    int64_t end[ROOM];
    int count;
    int64_t free_at;
} direction_t;

typedef struct {
    int master;
    char path[PATH_MAX_OCTETS];
    int number;
} end_t;

/* Counted from the beginning of one request to the beginning of the next, so that a window holds whole exchanges. */
typedef struct {
    int64_t octets, requests, replies, turnaround, late_sum;
} count_t;

static count_t current;
static struct {
    count_t whole;
    int64_t began, ended, silence_min, late_max, collisions;
} seen;

static int baud, character_bits, registers;
static int64_t character_ns;
static end_t units[UNITS_MAX + 1];

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void forget(void)
{
    memset(&seen, 0, sizeof seen);
    seen.silence_min = INT64_MAX;
}

static void open_end(end_t *end)
{
    int slave;
    struct termios raw;
    if (openpty(&end->master, &slave, end->path, NULL, NULL) == -1)
        exit(1);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    fcntl(end->master, F_SETFL, O_NONBLOCK);
    /* The slave's side stays open here, so that the wire outlives whoever uses it. */
}

static void *serve(void *argument)
{
    end_t *end = argument;
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_t *bus = modbus_new_rtu(end->path, baud, 'E', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, registers, 0);
    if (bus == NULL || map == NULL || modbus_set_slave(bus, end->number) == -1 || modbus_connect(bus) == -1)
        exit(1);
    for (int i = 0; i < registers; i++)
        map->tab_registers[i] = (uint16_t)(end->number << 8 | i);
    for (;;) {
        int size = modbus_receive(bus, query);
        if (size > 0)
            modbus_reply(bus, query, size, map);
    }
    return NULL;
}

/* Put what an end handed over onto the wire. Returns the time at which its first octet began, 0 if there was none. */
static int64_t take(int fd, direction_t *way, const direction_t *other)
{
    uint8_t data[ROOM];
    ssize_t size = read(fd, data, (size_t)(ROOM - way->count));
    int64_t now = now_ns(), begin = way->free_at > now ? way->free_at : now;
    if (size <= 0)
        return 0;
    if (begin < other->free_at)
        seen.collisions++;
    way->free_at = begin;
    for (ssize_t i = 0; i < size; i++) {
        way->octet[way->count] = data[i];
        way->end[way->count++] = way->free_at += character_ns;
    }
    return begin;
}

/* A request begins: what came before it is a whole exchange, unless it began before the window. */
static void begin_request(int64_t begin, int64_t silence)
{
    if (seen.began == 0) {
        seen.began = begin;
    } else {
        seen.whole.octets += current.octets;
        seen.whole.requests += current.requests;
        seen.whole.replies += current.replies;
        seen.whole.turnaround += current.turnaround;
        seen.whole.late_sum += current.late_sum;
        if (silence < seen.silence_min)
            seen.silence_min = silence;
    }
    seen.ended = begin;
    current = (count_t){.requests = 1};
}

/* When something is to be handed over next: a full buffer, or all there is. */
static int64_t next_at(const direction_t *way)
{
    if (way->count == 0)
        return INT64_MAX;
    return way->end[(way->count < FIFO ? way->count : FIFO) - 1];
}

static void hand_over(int fd, direction_t *way)
{
    int ready = 0;
    int64_t now = now_ns(), late;
    while (ready < way->count && way->end[ready] <= now)
        ready++;
    if (ready == 0)
        return;
    late = now - way->end[ready - 1];
    current.octets += ready;
    current.late_sum += late * ready;
    if (late > seen.late_max)
        seen.late_max = late;
    if (fd >= 0 && write(fd, way->octet, (size_t)ready) != ready)
        exit(1);
    way->count -= ready;
    memmove(way->octet, way->octet + ready, (size_t)way->count);
    memmove(way->end, way->end + ready, (size_t)way->count * sizeof way->end[0]);
}

static void report(void)
{
    printf("{\"window\": %lld, \"octets\": %lld, \"requests\": %lld, \"replies\": %lld, \"turnaround\": %lld, "
           "\"silence_min\": %lld, \"late_mean\": %lld, \"late_max\": %lld, \"collisions\": %lld}\n",
           (long long)(seen.ended - seen.began), (long long)seen.whole.octets, (long long)seen.whole.requests,
           (long long)seen.whole.replies, (long long)seen.whole.turnaround,
           (long long)(seen.whole.requests ? seen.silence_min : 0),
           (long long)(seen.whole.octets ? seen.whole.late_sum / seen.whole.octets : 0), (long long)seen.late_max,
           (long long)seen.collisions);
    fflush(stdout);
    forget();
}

/* Move octets for ever. There is one speaker at a time: the unit that was asked last. */
static void run(end_t *master, int count)
{
    static direction_t down, up;
    struct pollfd ends[UNITS_MAX + 2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = master->master, .events = POLLIN}};
    int asked = 0, is_answered = 1;
    for (int i = 1; i <= count; i++)
        ends[i + 1] = (struct pollfd){.fd = units[i].master, .events = POLLIN};
    for (;;) {
        int64_t due = next_at(&down) < next_at(&up) ? next_at(&down) : next_at(&up), wait = due - now_ns(), begin;
        struct timespec left = {.tv_sec = wait > 0 ? wait / 1000000000 : 0, .tv_nsec = wait > 0 ? wait % 1000000000 : 0};
        if (ppoll(ends, (nfds_t)count + 2, due == INT64_MAX ? NULL : &left, NULL) == -1)
            exit(1);
        if (ends[0].revents) {
            char line[16];
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                return;
            report();
        }
        if (ends[1].revents & POLLIN) {
            int is_first = down.count == 0;
            if ((begin = take(ends[1].fd, &down, &up)) && is_first) {
                begin_request(begin, begin - up.free_at);
                asked = down.octet[0];
                is_answered = 0;
            }
        }
        for (int i = 1; i <= count; i++)
            if (ends[i + 1].revents & POLLIN && (begin = take(ends[i + 1].fd, &up, &down)) && !is_answered) {
                current.replies++;
                current.turnaround += begin - down.free_at;
                is_answered = 1;
            }
        hand_over(asked >= 1 && asked <= count ? units[asked].master : -1, &down);
        hand_over(master->master, &up);
    }
}

int main(int argc, char **argv)
{
    static end_t master;
    int count, dead;
    if (argc != 6)
        return 2;
    baud = atoi(argv[1]);
    character_bits = atoi(argv[2]);
    count = atoi(argv[3]);
    registers = atoi(argv[4]);
    dead = atoi(argv[5]);
    character_ns = 1000000000ll * character_bits / baud;
    prctl(PR_SET_TIMERSLACK, 1);
    open_end(&master);
    for (int i = 1; i <= count; i++) {
        pthread_t thread;
        units[i].number = i;
        open_end(&units[i]);
        if (i != dead && pthread_create(&thread, NULL, serve, &units[i]) != 0)
            return 1;
    }
    puts(master.path);
    fflush(stdout);
    forget();
    /* A wire does not wait for a processor. Without the right to ask for this, it is as late as it says. */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    run(&master, count);
    return 0;
}
