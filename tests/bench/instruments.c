/* Instruments on libmodbus: instruments <port> <walk|step> <registers> [<least ms> <span ms>].
 *
 * Serves any number of connections. Register 0 of "step" jumps between 0 and 1000 at random times, the given least and
 * up to a span more after the last; all others, and all of "walk", wander with each request. Written coils and steps go
 * to standard output with the monotonic time in ns. */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { COILS = 16, TOP = 4095 };

static int step_min_ms = 300, step_span_ms = 400;
static uint32_t seed = 1;

static uint32_t draw(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void wander(modbus_mapping_t *map)
{
    for (int i = 1; i < map->nb_registers; i++) {
        int next = map->tab_registers[i] + (int)(draw() % 5) - 2;
        map->tab_registers[i] = next < 0 ? 0 : next > TOP ? TOP : next;
    }
}

static void tell(const char *what, int value)
{
    printf("%s %lld %d\n", what, (long long)now_ns(), value);
    fflush(stdout);
}

/* Jump when it is time; return the microseconds until the next jump. */
static int64_t jump(modbus_mapping_t *map)
{
    static int64_t due_ns;
    int64_t left_ns = due_ns - now_ns();
    if (left_ns > 0)
        return left_ns / 1000 + 1;
    if (due_ns) {
        map->tab_registers[0] = map->tab_registers[0] ? 0 : 1000;
        tell("step", map->tab_registers[0] != 0);
    }
    left_ns = (step_min_ms + draw() % step_span_ms) * 1000000ll;
    due_ns = now_ns() + left_ns;
    return left_ns / 1000;
}

static int answer(modbus_t *bus, int socket, modbus_mapping_t *map)
{
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    modbus_set_socket(bus, socket);
    int size = modbus_receive(bus, query);
    if (size < 0)
        return -1;
    wander(map);
    modbus_reply(bus, query, size, map);
    if (size > 7 && query[7] == MODBUS_FC_WRITE_SINGLE_COIL)
        tell("coil", query[10] == 0xFF);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int steps = strcmp(argv[2], "step") == 0;
    if (argc > 5) {
        step_min_ms = atoi(argv[4]);
        step_span_ms = atoi(argv[5]);
    }
    modbus_t *bus = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *map = modbus_mapping_new(COILS, COILS, atoi(argv[3]), atoi(argv[3]));
    int listener = bus ? modbus_tcp_listen(bus, 128) : -1;
    fd_set known;

    if (map == NULL || listener == -1)
        return 1;
    for (int i = 1; i < map->nb_registers; i++)
        map->tab_registers[i] = draw() % (TOP + 1);
    FD_ZERO(&known);
    FD_SET(listener, &known);
    puts("ready");
    fflush(stdout);
    for (int most = listener;;) {
        fd_set ready = known;
        struct timeval wait = {0, 0};
        if (steps) {
            int64_t left_us = jump(map);
            wait.tv_sec = left_us / 1000000;
            wait.tv_usec = left_us % 1000000;
        }
        if (select(most + 1, &ready, NULL, NULL, steps ? &wait : NULL) == -1)
            return 1;
        for (int fd = 0; fd <= most; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                modbus_tcp_accept(bus, &listener);
                int made = modbus_get_socket(bus);
                FD_SET(made, &known);
                most = made > most ? made : most;
            } else if (answer(bus, fd, map) == -1) {
                close(fd);
                FD_CLR(fd, &known);
            }
        }
    }
}
