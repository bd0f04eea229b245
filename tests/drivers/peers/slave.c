/* A Modbus slave on libmodbus: tcp <port>, or rtu <device> <unit>. Serves until it is ended. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fill(modbus_mapping_t *map)
{
    uint16_t flow[2];
    /* Low word first. modbus_set_float_cdab of libmodbus 3.1.6 swaps the octets too, against its own manual. */
    modbus_set_float(12.5f, flow);
    map->tab_registers[0] = 734;
    map->tab_registers[1] = (uint16_t)-125;
    memcpy(&map->tab_registers[4], flow, sizeof flow);
    map->tab_registers[6] = 0x0200;
    map->tab_input_registers[2] = 41;
    map->tab_bits[3] = 1;
    map->tab_input_bits[9] = 1;
}

int main(int argc, char **argv)
{
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    int is_tcp = argc > 2 && strcmp(argv[1], "tcp") == 0;
    modbus_t *bus = is_tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 9600, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(20, 20, 20, 20);
    int listener = -1;

    if (bus == NULL || map == NULL)
        return 1;
    fill(map);
    if (is_tcp) {
        listener = modbus_tcp_listen(bus, 1);
        if (listener == -1)
            return 1;
    } else {
        modbus_set_slave(bus, atoi(argv[3]));
        if (modbus_connect(bus) == -1)
            return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (is_tcp && modbus_tcp_accept(bus, &listener) == -1)
            return 1;
        for (;;) {
            int size = modbus_receive(bus, query);
            if (size > 0)
                modbus_reply(bus, query, size, map);
            else if (size == -1 && is_tcp)
                break;
            else if (size == -1 && errno != EMBBADCRC && errno != ETIMEDOUT)
                return 1;
        }
        modbus_close(bus);
    }
}
