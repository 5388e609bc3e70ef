/* Whole commands as main calls them: exit status, what goes to stdout, what to stderr. */
#include "unit/command/test.h"
#include <fcntl.h>
#include "unit/command/output.h"

static struct {
    int calls, argc;
    char first[16], file[64];
    size_t sets;
} ran;

static int run_hook(int argc, char **argv)
{
    struct config_args args;

    ran.calls++;
    ran.argc = argc;
    snprintf(ran.first, sizeof ran.first, "%s", argv[0]);
    assert_int_equal(run_args_parse(&args, argc, argv, NULL), MG_OK);
    snprintf(ran.file, sizeof ran.file, "%s", args.file ? args.file : "");
    ran.sets = args.sets.n;
    config_args_fini(&args);
    return 5;
}

static char good_file[] = "/tmp/meshglass-good-XXXXXX", bad_file[] = "/tmp/meshglass-bad-XXXXXX";

static int write_files(void **state)
{
    static const char good[] = "store:\n  retention: 3d\nlisten.otlp_http: off\n",
                      bad[] = "data_dir: /x\nstore:\n  retentoin: 3d\n";
    int a = mkstemp(good_file), b = mkstemp(bad_file);

    (void)state;
    if (write(a, good, sizeof good - 1) < 0 || write(b, bad, sizeof bad - 1) < 0)
        return -1;
    close(a);
    close(b);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(good_file);
    unlink(bad_file);
    return 0;
}

#define NAME "meshglass-collector: "
static const struct {
    const char *argv[8];
    int status;
    const char *out, *err; /* must be contained; NULL: nothing may be there */
} rows[] = {
    {{"version"}, 0, "meshglass-collector 0.", NULL},
    {{"--version"}, 0, "meshglass-collector 0.", NULL},
    {{"--help"}, 0, "journal check DIR", NULL},
    {{"-h"}, 0, "usage: meshglass-collector COMMAND", NULL},
    {{"help"}, 0, "  store dump DIR [OPTIONS]", NULL},
    {{"help", "demo"}, 0, "--spans-per-second N", NULL},
    {{"help", "store", "dump"}, 0, "--trace ID", NULL},
    {{"run", "--help"}, 0, "--set KEY=VALUE", NULL},
    {{"journal", "check", "--help"}, 0, "usage: meshglass-collector journal check DIR\n", NULL},
    {{"config", "--set", "--help"}, 0, "--reference", NULL},
    {{"check", good_file}, 0, ": fine\n", NULL},
    {{"config", "--config", good_file}, 0, "store.retention: 3d  # /tmp/meshglass-good", NULL},
    {{"config", "--set", "store.retention=5d", "--set", "threads=3"},
     0,
     "store.retention: 5d  # --set",
     NULL},
    {{"config"}, 0, "data_dir: ", NULL},
    {{"config", "--reference"}, 0, "retention", NULL},
    {{NULL}, 2, NULL, NAME "usage: a command must follow"},
    {{"chek"}, 2, NULL, NAME "chek: unknown command; did you mean 'check'?\n"},
    {{"hlep"}, 2, NULL, NAME "hlep: unknown command; did you mean 'help'?\n"},
    {{"help", "stroe"}, 2, NULL, NAME "stroe: unknown command; did you mean 'store'?\n"},
    {{"journal"}, 2, NULL, NAME "journal: one of check|dump must follow\n"},
    {{"store", "list", "x"},
     2,
     NULL,
     NAME "store: one of check|dump|stats|backup must follow\n"},
    {{"journal", "check"}, 2, NULL, NAME "journal check: DIR is missing\n"},
    {{"store", "--help"}, 0, "  store backup FILE [OPTIONS]", NULL},
    {{"help", "store"}, 0, "  store check DIR", NULL},
    {{"stroe", "--help"}, 2, NULL, NAME "stroe: unknown command; did you mean 'store'?\n"},
    {{"store", "chek", "--help"}, 2, NULL, NAME "store: one of check|dump|stats|backup must follow\n"},
    {{"help", "store", "chek"}, 2, NULL, NAME "store: one of check|dump|stats|backup must follow\n"},
    {{"store", "backup", "--help"}, 0, "usage: meshglass-collector store backup FILE", NULL},
    {{"store", "backup"}, 2, NULL, NAME "store backup: FILE is missing\n"},
    {{"store", "backup", "--server", "http://127.0.0.1:1", "/tmp"},
     1,
     NULL,
     NAME "store backup: /tmp exists and is not overwritten\n"},
    {{"store", "backup", "/tmp/meshglass-absent/x"}, 1, NULL, NAME "store backup: cannot create"},
    {{"version", "x"}, 2, NULL, NAME "version: unexpected 'x'\n"},
    {{"run", "x"}, 2, NULL, NAME "run: unexpected 'x' (a configuration file is given with --config)\n"},
    {{"frobnicate"}, 2, NULL, NAME "frobnicate: unknown command; 'meshglass-collector help' lists them\n"},
    {{"x"}, 2, NULL, NAME "x: unknown command; 'meshglass-collector help' lists them\n"},
    {{"help", "frobnicate"}, 2, NULL, NAME "frobnicate: unknown command; 'meshglass-collector help'"},
    {{"rnu"}, 2, NULL, NAME "rnu: unknown command; did you mean 'run'?\n"},
    {{"ledger", "--cert-file", "/x"}, 2, NULL, NAME "ledger: --cert-file is given without --key-file\n"},
    {{"demo", "--key-file", "/x", "--spans-per-second", "1"},
     2,
     NULL,
     NAME "demo: --key-file is given without --cert-file\n"},
    {{"why", "1", "--cert-file", "/tmp/meshglass-absent", "--key-file", "/tmp/meshglass-absent"},
     1,
     NULL,
     NAME "why: cannot open /tmp/meshglass-absent"},
    {{"run", "--conifg", "x"},
     2,
     NULL,
     NAME "run: unknown option '--conifg'; did you mean '--config'?\n"},
    {{"check"}, 2, NULL, NAME "check: FILE is missing\n"},
    {{"check", bad_file},
     1,
     NULL,
     ":3: unknown key 'store.retentoin'; did you mean 'store.retention'?\n"},
    {{"check", "/tmp/meshglass-absent"}, 1, NULL, NAME "check: "},
    {{"config", "--config", bad_file},
     2,
     NULL,
     "unknown key 'store.retentoin'; did you mean 'store.retention'?\n"},
    {{"config", "--set", "retention=1d"}, 2, NULL, NAME "config: --set: unknown key 'retention'"},
    {{"config", "--set", "threads=257"}, 2, NULL, NAME "config: --set: threads"},
    {{"config", "--config", "/tmp/meshglass-absent"}, 1, NULL, NAME "config: "},
    {{"why"}, 2, NULL, NAME "why: TRACE_ID is missing\n"},
    {{"why", "1", "2"}, 2, NULL, NAME "why: unexpected '2'\n"},
    {{"why", "xyz"}, 1, NULL, NAME "why: 'xyz' is no trace id: it has 1 to 32 hexadecimal digits"},
    {{"why", "0"}, 1, NULL, NAME "why: '0' is no trace id"},
    {{"why", "0123456789abcdef0123456789abcdef0"}, 1, NULL, "is no trace id"},
    {{"why", "1", "--server", "http://127.0.0.1:1"}, 1, NULL, NAME "why: "},
    {{"why", "--help"}, 0, "usage: meshglass-collector why TRACE_ID [OPTIONS]", NULL},
    {{"sampling"}, 2, NULL, NAME "sampling: one of show must follow\n"},
    {{"sampling", "list"}, 2, NULL, NAME "sampling: one of show must follow\n"},
    {{"sampling", "show", "x"}, 2, NULL, NAME "sampling show: unexpected 'x'\n"},
    {{"sampling", "show", "--server", "http://127.0.0.1:1"}, 1, NULL, NAME "sampling show: "},
    {{"demo"}, 2, NULL, NAME "demo: --spans-per-second N is missing\n"},
    {{"demo", "--spans-per-second", "0"}, 2, NULL, "from 1 to 1000000\n"},
    {{"demo", "--spans-per-second", "1000001"}, 2, NULL, "from 1 to 1000000\n"},
    {{"demo", "--spans-per-second", "1000000", "--server", "http://127.0.0.1:1"},
     1,
     NULL,
     NAME "demo: "},
    {{"demo", "--spans-per-second", "1", "--duration", "0"},
     2,
     NULL,
     NAME "demo: --duration: 0 is outside"},
    {{"demo", "--spans-per-second", "1", "--endpoint", "ftp://x"}, 1, NULL, NAME "demo: "},
    {{"ledger", "--server", "http://127.0.0.1:1"}, 1, NULL, NAME "ledger: "},
    {{"ledger", "--server", "nonsense"}, 1, NULL, NAME "ledger: "},
    {{"journal", "dump", "/tmp/meshglass-absent"},
     1,
     NULL,
     NAME "journal dump: /tmp/meshglass-absent: "},
    {{"journal", "check", good_file}, 1, NULL, "is not a directory\n"},
    {{"store", "check", "/tmp/meshglass-absent"},
     1,
     NULL,
     NAME "store check: /tmp/meshglass-absent: "},
    {{"store", "dump", "--trace", "xyz", "/tmp"},
     2,
     NULL,
     NAME "store dump: --trace: not a trace id"},
};

static int call(const char *const *args, struct output *out)
{
    const struct command_hooks hooks = {run_hook};
    char *argv[10] = {(char *)"meshglass-collector"};
    int argc = 1, status;

    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    capture(out);
    status = command_main(argc, argv, &hooks);
    release(out);
    return status;
}

static void check_text(size_t row, const char *what, const char *got, const char *want)
{
    if (want ? !strstr(got, want) : got[0] != '\0')
        fail_msg("row %zu: %s is \"%s\", not \"%s\"", row, what, got, want ? want : "");
}

static void test_rows(void **state)
{
    static struct output out;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        int status = call(rows[i].argv, &out);
        if (status != rows[i].status)
            fail_msg("row %zu: exit status %d, not %d; stderr: %s", i, status, rows[i].status,
                     out.text[1]);
        check_text(i, "stdout", out.text[0], rows[i].out);
        check_text(i, "stderr", out.text[1], rows[i].err);
    }
    assert_int_equal(ran.calls, 0);
}

static void test_run_is_the_hook(void **state)
{
    static const char *const args[] = {"run", "--config",  "a.yaml", "--set",
                                       "b=c", "--set=d=e", NULL};
    static struct output out;

    (void)state;
    assert_int_equal(call(args, &out), 5);
    assert_int_equal(ran.calls, 1);
    assert_int_equal(ran.argc, 6);
    assert_string_equal(ran.first, "run");
    assert_string_equal(ran.file, "a.yaml");
    assert_int_equal(ran.sets, 2);
}

static void test_a_full_disk_is_told(void **state)
{
    static const char *const args[] = {"version", NULL};
    const struct command_hooks hooks = {run_hook};
    char *argv[] = {(char *)"meshglass-collector", (char *)args[0]};
    struct output out;
    int full = open("/dev/full", O_WRONLY), status;

    (void)state;
    capture(&out);
    dup2(full, 1);
    status = command_main(2, argv, &hooks);
    release(&out);
    clearerr(stdout);
    close(full);
    assert_int_equal(status, 1);
    assert_non_null(strstr(out.text[1], NAME "standard output: No space left on device\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, write_files, remove_files),
        cmocka_unit_test(test_run_is_the_hook),
        cmocka_unit_test(test_a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
