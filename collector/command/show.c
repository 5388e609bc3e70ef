/* show.c - see show.h. The answer is read to its end before anything is printed, so that what is printed is whole; --json checks it
 * all the same. */
#include "command/show.h"
#include <stdio.h>
#include "command/table.h"

#define TEXT_BYTES_MAX ((size_t)256 << 20) /* lines are longer than what they are made of, and that is at most 64 MiB */

static int print_answer(const struct show_fields *fields, const char *command, struct str json, show_print_fn *print)
{
    struct mg_why why = { "" };
    bool is_fine = true;
    struct buf out;

    buf_init(&out, TEXT_BYTES_MAX);
    enum mg_err err = print(json, &out, &is_fine, &why);
    if (err != MG_OK)
        command_error(command, why.text[0] ? why.text : mg_err_text(err));
    else if (fields->json)
        printf("%.*s\n", STR_ARG(json));
    else
        printf("%.*s", STR_ARG(buf_str(&out)));
    buf_fini(&out);
    return command_flush(err == MG_OK && is_fine ? COMMAND_FINE : COMMAND_NO);
}

int show_answer(const struct show_fields *fields, const char *command, const char *path, show_print_fn *print)
{
    struct mg_why why;
    struct buf body;

    if (server_get(&fields->server, path, NULL, &body, &why) != MG_OK) {
        command_error(command, why.text);
        return COMMAND_NO;
    }
    int status = print_answer(fields, command, buf_str(&body), print);
    buf_fini(&body);
    return status;
}
