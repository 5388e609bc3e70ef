/* admin.c - see admin.h. */
#include "api/admin/admin.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "api/admin/backup.h"
#include "api/admin/private.h"
#include "api/admin/why.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sample/ladder.h"

void admin_init(struct admin *admin)
{
    pthread_mutex_init(&admin->shared.lock, NULL);
}

void admin_fini(struct admin *admin)
{
    pthread_mutex_destroy(&admin->shared.lock);
}

void admin_add_door(struct admin *admin, const char *name, struct str address)
{
    struct admin_door *door;

    pthread_mutex_lock(&admin->shared.lock);
    if (admin->shared.n_doors < ADMIN_DOORS_MAX) {
        door = &admin->shared.doors[admin->shared.n_doors++];
        door->name = name;
        snprintf(door->address, sizeof door->address, "%.*s", STR_ARG(address));
    }
    pthread_mutex_unlock(&admin->shared.lock);
}

/* --- spans a second --------------------------------------------------------------------------------- */

void admin_tick(struct admin *admin, uint64_t mono_ns)
{
    struct live_ledger ledger;

    live_ledger(admin->live, &ledger);
    pthread_mutex_lock(&admin->shared.lock);
    if (admin->shared.n_samples == ADMIN_RATE_SAMPLES) {
        memmove(admin->shared.samples, admin->shared.samples + 1, sizeof admin->shared.samples - sizeof admin->shared.samples[0]);
        admin->shared.n_samples--;
    }
    admin->shared.samples[admin->shared.n_samples].mono_ns = mono_ns;
    admin->shared.samples[admin->shared.n_samples++].accepted = ledger.accepted;
    pthread_mutex_unlock(&admin->shared.lock);
}

double admin_spans_per_second(struct admin *admin)
{
    double rate = 0;

    pthread_mutex_lock(&admin->shared.lock);
    if (admin->shared.n_samples > 1) {
        size_t last = admin->shared.n_samples - 1;
        uint64_t ns = admin->shared.samples[last].mono_ns - admin->shared.samples[0].mono_ns;
        if (ns > 0)
            rate = (double)(admin->shared.samples[last].accepted - admin->shared.samples[0].accepted) * 1e9 / (double)ns;
    }
    pthread_mutex_unlock(&admin->shared.lock);
    return rate;
}

/* --- state ------------------------------------------------------------------------------------------ */

static const char *state_name(struct admin *admin)
{
    static const char *const names[] = { "starting", "serving", "stopping" };

    int state = atomic_load(&admin->state);

    if (state == ADMIN_SERVING && (journal_refusing(admin->journal) || store_is_full(admin->store)))
        return "refusing";
    return names[state];
}

void admin_reason(struct admin *admin, struct buf *out)
{
    int state = atomic_load(&admin->state);

    if (state == ADMIN_STARTING)
        buf_printf(out, "starting: %llu of %llu log records read", (unsigned long long)*admin->replay_done,
                   (unsigned long long)*admin->replay_total);
    else if (state == ADMIN_STOPPING)
        buf_put_text(out, "shutting down");
    else if (journal_refusing(admin->journal))
        buf_put_text(out, "refusing spans: the journal cannot be written");
    else if (store_is_full(admin->store))
        buf_put_text(out, "refusing spans: the disk is full (store.free_min)");
}

/* --- health door ------------------------------------------------------------------------------------ */

void admin_put_time(struct json_writer *w, uint64_t wall_ns)
{
    char text[CLOCK_TEXT_BYTES];

    clock_text(wall_ns, text);
    json_put_str(w, wall_ns ? str_of(text) : STR(""));
}

static void on_health(void *owner, struct http_request *request)
{
    struct admin *admin = owner;
    struct buf body, reason;
    struct json_writer w;

    buf_init(&body, 4096);
    buf_init(&reason, 1024);
    admin_reason(admin, &reason);
    json_writer_init(&w, &body, 0);
    json_object(&w);
    json_key_text(&w, "status");
    json_put_str(&w, str_of(state_name(admin)));
    json_key_text(&w, "healthy");
    json_put_bool(&w, reason.len == 0);
    json_key_text(&w, "reason");
    json_put_str(&w, buf_str(&reason));
    json_key_text(&w, "start_time");
    admin_put_time(&w, admin->started_wall_ns);
    json_key_text(&w, "replay");
    json_object(&w);
    json_key_text(&w, "records");
    json_put_u64(&w, *admin->replay_done);
    json_key_text(&w, "total");
    json_put_u64(&w, *admin->replay_total);
    json_object_end(&w);
    json_object_end(&w);
    http_respond(request, reason.len ? 503 : 200, "application/json", buf_str(&body));
    buf_fini(&body);
    buf_fini(&reason);
}

const struct http_route *admin_health_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/status", .on_request = on_health },
        { .method = "GET", .path = "/", .on_request = on_health },
    };

    *n = MG_COUNT(routes);
    return routes;
}

/* --- metrics door ----------------------------------------------------------------------------------- */

static void on_metrics(void *owner, struct http_request *request)
{
    struct admin *admin = owner;
    enum metric_format format;
    const char *type = metric_negotiate(http_request_header(request, STR("accept")), &format);
    struct buf body;

    buf_init(&body, 64u << 20);
    metric_write(admin->registry, format, &body);
    http_respond(request, 200, type, buf_str(&body));
    buf_fini(&body);
}

const struct http_route *admin_metrics_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/metrics", .on_request = on_metrics },
    };

    *n = MG_COUNT(routes);
    return routes;
}

/* --- /api/meshglass/v1 ------------------------------------------------------------------------------ */

struct number { const char *key; uint64_t value; };

static void put_numbers(struct json_writer *w, const struct number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_key(w, str_of(numbers[i].key));
        json_put_u64(w, numbers[i].value);
    }
}

static void put_group(struct json_writer *w, const char *key, const struct number *numbers, size_t n)
{
    json_key(w, str_of(key));
    json_object(w);
    put_numbers(w, numbers, n);
    json_object_end(w);
}
#define PUT_GROUP(w, key, numbers) put_group((w), (key), (numbers), MG_COUNT(numbers))

bool admin_wants_pretty(const struct http_request *request)
{
    return str_starts(http_request_query(request), STR("prettyPrint"));
}

/* --- ledger ------------------------------------------------------------------------------------------ */

/* Spans by who decided: the name of a policy or class, or the reason in angle brackets where no name decided. */
struct split { char key[sizeof((struct live_policy *)0)->name + 2]; uint64_t kept, sampled_out; };

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct split *)a)->key, ((const struct split *)b)->key);
}

static void name_split(struct split *split, const struct live_policy *policy)
{
    const char *reason = policy->reason == REASON_NONE ? "none" : reason_name(policy->reason);

    if (policy->name[0])
        snprintf(split->key, sizeof split->key, "%s", policy->name);
    else
        snprintf(split->key, sizeof split->key, "<%s>", reason);
}

/* Sorted; one name has a line for each of its reasons, which become one. Returns how many are left; *out: mem_free. */
static size_t splits_of(struct live *live, struct split **out)
{
    struct live_policy *policies = NULL;
    size_t n = live_policies(live, &policies), kept = 0;
    struct split *splits = mem_zero(MG_MAX(n, (size_t)1), sizeof *splits);

    for (size_t i = 0; i < n; i++) {
        name_split(&splits[i], &policies[i]);
        splits[i].kept = policies[i].kept;
        splits[i].sampled_out = policies[i].sampled_out;
    }
    mem_free(policies);
    qsort(splits, n, sizeof *splits, by_key);
    for (size_t i = 0; i < n; i++) {
        if (kept && by_key(&splits[kept - 1], &splits[i]) == 0) {
            splits[kept - 1].kept += splits[i].kept;
            splits[kept - 1].sampled_out += splits[i].sampled_out;
        } else {
            splits[kept++] = splits[i];
        }
    }
    *out = splits;
    return kept;
}

static void put_split(struct json_writer *w, const struct split *split, uint64_t spans)
{
    if (spans == 0)
        return;
    json_key(w, str_of(split->key));
    json_put_u64(w, spans);
}

static void put_splits(struct json_writer *w, struct live *live)
{
    struct split *splits;
    size_t n = splits_of(live, &splits);

    json_key_text(w, "sampled_out_by_policy");
    json_object(w);
    for (size_t i = 0; i < n; i++)
        put_split(w, &splits[i], splits[i].sampled_out);
    json_object_end(w);
    json_key_text(w, "kept_by_policy");
    json_object(w);
    for (size_t i = 0; i < n; i++)
        put_split(w, &splits[i], splits[i].kept);
    json_object_end(w);
    mem_free(splits);
}

static void on_ledger(void *owner, struct http_request *request)
{
    struct admin *admin = owner;
    struct live_ledger ledger;
    struct buf body;
    struct json_writer w;

    live_ledger(admin->live, &ledger);
    const struct number numbers[] = {
        { "accepted", ledger.accepted }, { "stored", ledger.stored },   { "sampled_out", ledger.sampled_out },
        { "duplicate", ledger.duplicate }, { "pending", ledger.pending }, { "refused", ledger.refused },
        { "late", ledger.late },         { "lost", ledger.lost },
    };
    buf_init(&body, 1u << 20);
    json_writer_init(&w, &body, admin_wants_pretty(request) ? 4 : 0);
    json_object(&w);
    put_numbers(&w, numbers, MG_COUNT(numbers));
    put_splits(&w, admin->live);
    json_object_end(&w);
    http_respond(request, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

/* --- status ------------------------------------------------------------------------------------------ */

static void put_doors(struct json_writer *w, struct admin *admin)
{
    json_key_text(w, "doors");
    json_array(w);
    pthread_mutex_lock(&admin->shared.lock);
    for (size_t i = 0; i < admin->shared.n_doors; i++) {
        json_object(w);
        json_key_text(w, "door");
        json_put_str(w, str_of(admin->shared.doors[i].name));
        json_key_text(w, "address");
        json_put_str(w, str_of(admin->shared.doors[i].address));
        json_object_end(w);
    }
    pthread_mutex_unlock(&admin->shared.lock);
    json_array_end(w);
}

static uint64_t resident_bytes(void)
{
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_head(struct json_writer *w, struct admin *admin)
{
    struct buf reason;

    buf_init(&reason, 1024);
    admin_reason(admin, &reason);
    json_key_text(w, "version");
    json_put_str(w, str_of(admin->version));
    json_key_text(w, "state");
    json_put_str(w, str_of(state_name(admin)));
    json_key_text(w, "reason");
    json_put_str(w, buf_str(&reason));
    json_key_text(w, "started_at");
    admin_put_time(w, admin->started_wall_ns);
    json_key_text(w, "uptime_s");
    json_put_double(w, (double)((clock_mono_ns() - admin->started_mono_ns) / 1000000) / 1e3);
    put_doors(w, admin);
    json_key_text(w, "spans_per_second");
    json_put_double(w, (double)(int64_t)(admin_spans_per_second(admin) * 10) / 10);
    json_key_text(w, "ladder");
    json_put_str(w, str_of(ladder_name(live_ladder(admin->live))));
    json_key_text(w, "replay");
    json_object(w);
    json_key_text(w, "done");
    json_put_bool(w, atomic_load(&admin->state) != ADMIN_STARTING);
    json_key_text(w, "records");
    json_put_u64(w, *admin->replay_done);
    json_key_text(w, "total");
    json_put_u64(w, *admin->replay_total);
    json_object_end(w);
    buf_fini(&reason);
}

static void put_store(struct json_writer *w, const struct store_stats *store)
{
    const struct number numbers[] = {
        { "partitions", store->partitions }, { "blocks", store->blocks }, { "spans", store->spans }, { "traces", store->traces },
        { "disk_bytes", store->disk_bytes }, { "commits", store->commits }, { "failed_commits", store->failed_commits },
    };

    json_key_text(w, "store");
    json_object(w);
    put_numbers(w, numbers, MG_COUNT(numbers));
    json_key_text(w, "oldest");
    admin_put_time(w, store->oldest_wall_ns);
    json_object_end(w);
}

static void on_status(void *owner, struct http_request *request)
{
    struct admin *admin = owner;
    struct live_stats live;
    struct store_stats store;
    struct journal_stats journal;
    struct statvfs disk = { 0 };
    struct buf body;
    struct json_writer w;

    live_stat(admin->live, &live);
    store_stat(admin->store, &store);
    journal_stat(admin->journal, &journal);
    (void)statvfs(admin->data_dir, &disk); /* failing, the figures are zero */
    const struct number positions[] = { { "c", store.c }, { "p", store.p }, { "watermark", store.watermark },
                                        { "log", live.position } };
    const struct number ring[] = { { "bytes", live.ring_bytes }, { "budget_bytes", admin->credit->budget },
                                   { "traces", live.traces }, { "segments", live.ring_segments },
                                   { "oldest_pending_ns", live.oldest_pending_ns } };
    const struct number log[] = { { "bytes", journal.disk_bytes }, { "segments", journal.segments },
                                  { "corrupt_records", journal.corrupt_records } };
    const struct number space[] = { { "free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize },
                                    { "total_bytes", (uint64_t)disk.f_blocks * disk.f_frsize } };
    const struct number memory[] = { { "rss_bytes", resident_bytes() } };

    buf_init(&body, 64u << 10);
    json_writer_init(&w, &body, admin_wants_pretty(request) ? 4 : 0);
    json_object(&w);
    put_head(&w, admin);
    PUT_GROUP(&w, "positions", positions);
    PUT_GROUP(&w, "ring", ring);
    PUT_GROUP(&w, "journal", log);
    put_store(&w, &store);
    PUT_GROUP(&w, "disk", space);
    PUT_GROUP(&w, "memory", memory);
    json_object_end(&w);
    http_respond(request, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

const struct http_route *admin_query_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/api/meshglass/v1/status", .on_request = on_status },
        { .method = "GET", .path = "/api/meshglass/v1/ledger", .on_request = on_ledger },
        { .method = "GET", .path = "/api/meshglass/v1/why/{id}", .on_request = admin_on_why },
        { .method = "GET", .path = "/api/meshglass/v1/backup", .on_request = admin_on_backup, .scope = HTTP_SCOPE_ADMIN },
    };

    *n = MG_COUNT(routes);
    return routes;
}
