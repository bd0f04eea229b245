/* The raw limit of switching an output: switch <port to read> <port to write> <period in ms>.
 *
 * A libmodbus loop that reads register 0 of one instrument on a fixed grid and writes coil 0 of another when it has
 * changed to beyond 500 or back. Runs until it is ended. */
#include <modbus.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static modbus_t *connect_to(const char *port)
{
    modbus_t *bus = modbus_new_tcp("127.0.0.1", atoi(port));
    return bus != NULL && modbus_connect(bus) == 0 ? bus : NULL;
}

int main(int argc, char **argv)
{
    modbus_t *from, *to;
    struct timespec due;
    int64_t period_ns;
    int was_on = 0;

    if (argc != 4)
        return 2;
    from = connect_to(argv[1]);
    to = connect_to(argv[2]);
    period_ns = atoll(argv[3]) * 1000000;
    if (from == NULL || to == NULL)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (;;) {
        uint16_t value;
        if (modbus_read_registers(from, 0, 1, &value) != 1)
            return 1;
        if ((value > 500) != was_on) {
            was_on = value > 500;
            if (modbus_write_bit(to, 0, was_on) != 1)
                return 1;
        }
        due.tv_nsec += period_ns;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}
