/* conf.c - the rows of the `ui` section. */
#include "api/ui/conf.h"

const struct conf_field ui_fields[] = {
    CONF_ROW(
        struct ui_conf, CONF_STR, "dir", dir, NULL, NULL, NULL,
        "Directory of a built Jaeger UI, with index.html and static/; deploy/jaeger-ui fetches "
        "one. Without it the console is the front page."),
    CONF_ROW(struct ui_conf, CONF_STR, "config", config, NULL, NULL, NULL,
             "Configuration of the Jaeger UI: a JSON file, or a .js file that defines UIConfig()."),
    CONF_ROW(
        struct ui_conf, CONF_STR, "base_path", base, "/", NULL, NULL,
        "Path of the UI as browsers see it, when a proxy in front serves it below a prefix and "
        "takes the prefix away."),
    CONF_ROW(struct ui_conf, CONF_BYTES, "bytes_max", bytes_max, "64MiB", "1KiB", "1GiB",
             "Largest size of all files of the UI together; they are held in memory, beside them what is "
             "packed for browsers."),
};
const size_t ui_fields_n = MG_COUNT(ui_fields);
