/* The raw limit of a Modbus RTU line: serial_master <path> <baud> <units> <registers> <silence in us> <seconds>.
 *
 * A libmodbus loop that reads each unit in turn and keeps the silence after each answer. Prints the answers read. */
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    uint16_t words[MODBUS_MAX_READ_REGISTERS];
    int units, registers, answers = 0;
    int64_t silence_ns, end_ns;
    modbus_t *bus;
    if (argc != 7)
        return 2;
    units = atoi(argv[3]);
    registers = atoi(argv[4]);
    silence_ns = atoll(argv[5]) * 1000;
    end_ns = now_ns() + atoll(argv[6]) * 1000000000;
    bus = modbus_new_rtu(argv[1], atoi(argv[2]), 'E', 8, 1);
    if (bus == NULL || modbus_connect(bus) == -1)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1);
    for (int unit = 1; now_ns() < end_ns; unit = unit % units + 1) {
        int64_t next_ns;
        struct timespec next;
        modbus_set_slave(bus, unit);
        if (modbus_read_registers(bus, 0, registers, words) != registers)
            return 1;
        answers++;
        next_ns = now_ns() + silence_ns;
        next = (struct timespec){.tv_sec = next_ns / 1000000000, .tv_nsec = next_ns % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    printf("%d\n", answers);
    modbus_close(bus);
    return 0;
}
