/* door.c - see door.h. */
#include "door/door.h"

#define NAME(id, name, ...) name,
const char *const door_names[DOORS] = { DOOR_ROWS(NAME, NAME, NAME) };

bool door_is_listed(enum door door, const struct conf_list *names, bool all)
{
    for (size_t i = 0; i < names->n; i++)
        if (str_eq(names->at[i], str_of(door_names[door])))
            return true;
    return names->n == 0 && all;
}

enum mg_err door_list_check(const char *row, const struct conf_list *names, bool with_udp, struct mg_why *why)
{
    for (size_t i = 0; i < names->n; i++) {
        enum door door = 0;
        while (door < DOORS && !str_eq(names->at[i], str_of(door_names[door])))
            door++;
        if (door == DOORS)
            return mg_fail(why, MG_E_FORMAT, "%s: '%.*s' is no door (see listen.*)", row, STR_ARG(names->at[i]));
        if (door_is_udp(door) && !with_udp)
            return mg_fail(why, MG_E_FORMAT, "%s: %s is a UDP door, which cannot speak TLS", row, door_names[door]);
    }
    return MG_OK;
}
