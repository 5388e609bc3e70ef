/* command.c - see command.h. The first word, or the first two, choose a row; the row's rules parse
 * the rest; the row's function does the work. --help is answered before anything is checked,
 * because it is what people type when they do not know what is right. */
#include "command/table.h"
#include <errno.h>
#include <stdio.h>
#include "base/mem.h"
#include "base/vec.h"

static const char program[] = "meshglass-collector";
static const struct arg_option run_options[] = {CONFIG_ARG_ROWS(struct config_args, )};
static const struct config_args run_defaults;
static const struct command run_command = {
    .name = "run",
    .help = "Runs the collector until SIGTERM; one line of JSON on stdout for each opened door.",
    .rules = {run_options, MG_COUNT(run_options), "", 0, 0},
    .defaults = &run_defaults,
    .fields_bytes = sizeof run_defaults,
};
static const struct command *const commands[] = {
    &run_command,           &check_command,         &config_command,      &version_command,
    &demo_command,          &ledger_command,        &why_command,         &sampling_show_command,
    &journal_check_command, &journal_dump_command,  &store_check_command, &store_dump_command,
    &store_stats_command,   &store_backup_command,
};

void command_error(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, why);
}

int command_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    command_error("standard output", strerror(errno));
    return COMMAND_NO;
}

enum mg_err run_args_parse(struct config_args *out, int argc, char *const *argv, struct mg_why *why)
{
    struct arg_list operands = {0};
    enum mg_err err;

    *out = run_defaults;
    err = args_parse(&run_command.rules, argc, argv, out, &operands, why);
    VEC_FINI(&operands);
    return err;
}

void config_args_fini(struct config_args *args)
{
    VEC_FINI(&args->sets);
}

/* --- finding the row
 * -------------------------------------------------------------------------------- */

static struct str first_word(const struct command *command)
{
    struct str rest = str_of(command->name), head = rest;

    (void)str_cut(&rest, ' ', &head); /* a name is never empty */
    return head;
}

static bool has_second_word(const struct command *command, struct str *second)
{
    struct str first;

    return str_split_at(str_of(command->name), ' ', &first, second);
}

const struct command *command_find(int argc, char *const *argv, int *words)
{
    for (size_t i = 0; argc > 0 && i < MG_COUNT(commands); i++) {
        struct str second;
        if (!str_eq(str_of(argv[0]), first_word(commands[i])))
            continue;
        *words = has_second_word(commands[i], &second) ? 2 : 1;
        if (*words == 1 || (argc > 1 && str_eq(str_of(argv[1]), second)))
            return commands[i];
    }
    return NULL;
}

/* "check|dump" for a first word that needs a second one; empty for any other text. */
static void second_words(struct str first, struct buf *out)
{
    for (size_t i = 0; i < MG_COUNT(commands); i++) {
        struct str second;
        if (!str_eq(first, first_word(commands[i])) || !has_second_word(commands[i], &second))
            continue;
        buf_put_text(out, out->len ? "|" : "");
        buf_put_str(out, second);
    }
}

/* Empty: none is near. */
static struct str nearest(struct str name)
{
    struct str best = STR("");
    size_t near = str_distance_near(name), best_distance = near + 1;

    for (size_t i = 0; i <= MG_COUNT(commands); i++) {
        struct str word = i < MG_COUNT(commands) ? first_word(commands[i]) : STR("help");
        size_t distance = str_distance(name, word, near);
        if (distance < best_distance) {
            best_distance = distance;
            best = word;
        }
    }
    return best;
}

static int unknown(const char *name)
{
    struct buf text, seconds;
    struct str best = nearest(str_of(name));

    buf_init(&text, 4096);
    buf_init(&seconds, 256);
    second_words(str_of(name), &seconds);
    if (seconds.len)
        buf_printf(&text, "one of %.*s must follow", STR_ARG(buf_str(&seconds)));
    else if (best.len)
        buf_printf(&text, "unknown command; did you mean '%.*s'?", STR_ARG(best));
    else
        buf_printf(&text, "unknown command; '%s help' lists them", program);
    buf_put_char(&text, '\0');
    command_error(name, text.len > 1 ? text.ptr : "unknown command");
    buf_fini(&text);
    buf_fini(&seconds);
    return COMMAND_USAGE;
}

/* --- help
 * ------------------------------------------------------------------------------------------- */

static void put_usage(const struct command *command, struct buf *out)
{
    buf_printf(out, "%s%s%s%s", command->name, command->rules.operands[0] ? " " : "",
               command->rules.operands, command->rules.n_options ? " [OPTIONS]" : "");
}

void command_help(const struct command *command, struct buf *out)
{
    buf_printf(out, "usage: %s ", program);
    put_usage(command, out);
    buf_printf(out, "\n\n%s\n", command->help);
    if (command->rules.n_options)
        buf_put_text(out, "\n");
    args_help(&command->rules, out);
}

/* Of all commands, or of those with that first word. */
static void overview(struct str group, struct buf *out)
{
    int width = 0;
    struct buf usage;

    buf_init(&usage, 4096);
    for (int pass = 0; pass < 2; pass++) { /* the first one measures */
        if (pass == 1)
            buf_printf(out, "usage: %s COMMAND [OPTIONS]\n\n", program);
        for (size_t i = 0; i < MG_COUNT(commands); i++) {
            if (group.len && !str_eq(group, first_word(commands[i])))
                continue;
            buf_clear(&usage);
            put_usage(commands[i], &usage);
            if (pass == 0)
                width = MG_MAX(width, (int)usage.len);
            else
                buf_printf(out, "  %-*.*s  %s\n", width, STR_ARG(buf_str(&usage)),
                           commands[i]->help);
        }
    }
    buf_printf(out,
               "\n'%s COMMAND --help' lists the options. Exit status: 0 fine, 1 the answer is no "
               "or it failed,\n"
               "2 wrong usage.\n",
               program);
    buf_fini(&usage);
}

/* NULL: an overview of the group, or of everything when that is empty. */
static int print_help(const struct command *command, struct str group)
{
    struct buf out;

    buf_init(&out, 64u << 10);
    if (command)
        command_help(command, &out);
    else
        overview(group, &out);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
    return command_flush(COMMAND_FINE);
}

/* "store", of "store check". */
static bool is_group(const char *word)
{
    struct buf seconds;
    bool is_one;

    buf_init(&seconds, 256);
    second_words(str_of(word), &seconds);
    is_one = seconds.len > 0;
    buf_fini(&seconds);
    return is_one;
}

static int help_for(int argc, char *const *argv)
{
    int words;
    const struct command *command = command_find(argc, argv, &words);

    if (argc == 0)
        return print_help(NULL, STR(""));
    if (!command && !(argc == 1 && is_group(argv[0])))
        return unknown(argv[0]);
    return print_help(command, str_of(argv[0]));
}

static bool is_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

static bool wants_help(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i]))
            return true;
    return false;
}

/* --- running
 * ---------------------------------------------------------------------------------------- */

/* Arguments only; lists in the fields are the caller's also when it fails. */
static enum mg_err parse(const struct command *command, int argc, char *const *argv, void *fields,
                         struct arg_list *operands, struct mg_why *why)
{
    if (command->defaults)
        memcpy(fields, command->defaults, command->fields_bytes);
    return args_parse(&command->rules, argc, argv, fields, operands, why);
}

static void fields_free(const struct command *command, void *fields)
{
    for (size_t i = 0; i < command->rules.n_options; i++) {
        const struct arg_option *option = &command->rules.options[i];
        if (option->kind == ARG_LIST)
            VEC_FINI((struct arg_list *)((char *)fields + option->offset));
    }
    mem_free(fields);
}

static int run(const struct command *command, int argc, char **argv,
               const struct command_hooks *hooks)
{
    void *fields = mem_zero(1, MG_MAX(command->fields_bytes, (size_t)1));
    struct arg_list operands = {0};
    struct mg_why why;
    int status = COMMAND_USAGE;

    if (parse(command, argc, argv, fields, &operands, &why) != MG_OK)
        command_error(command->name, why.text);
    else
        status = command->run ? command->run(fields, &operands) : hooks->run(argc, argv);
    fields_free(command, fields);
    VEC_FINI(&operands);
    return status;
}

int command_main(int argc, char **argv, const struct command_hooks *hooks)
{
    const struct command *command;
    int words;

    if (argc < 2) {
        command_error("usage", "a command must follow; 'meshglass-collector help' lists them");
        return COMMAND_USAGE;
    }
    if (is_help(argv[1]))
        return print_help(NULL, STR(""));
    if (strcmp(argv[1], "help") == 0)
        return help_for(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = "version";
    command = command_find(argc - 1, argv + 1, &words);
    if (!command && argc == 3 && is_help(argv[2]))
        return help_for(1, argv + 1);
    if (!command)
        return unknown(argv[1]);
    if (wants_help(argc - words, argv + words))
        return print_help(command, STR(""));
    return run(command, argc - words, argv + words, hooks);
}
