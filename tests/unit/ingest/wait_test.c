/* wait_test.c - who waits for credit is served, refused or goes on waiting: time limits, loud peers, closing. */
#include "rig.h"

#define QUIET (UINT64_C(1) << 20)
#define LOUD  (UINT64_C(2) << 20)
#define PAST  UINT64_C(1)
#define LATER UINT64_MAX

enum end { WAITS, SERVED, REFUSED };
struct dummy {
    struct waiter waiter;
    bool has_room;       /* serve will say yes */
    enum end end;
    enum ingest_busy reason;
};

static bool serve(struct waiter *waiter)
{
    struct dummy *dummy = MG_CONTAINER(waiter, struct dummy, waiter);

    assert_int_equal(dummy->end, WAITS);
    if (dummy->has_room)
        dummy->end = SERVED;
    return dummy->has_room;
}

static void give_up(struct waiter *waiter, enum ingest_busy reason)
{
    struct dummy *dummy = MG_CONTAINER(waiter, struct dummy, waiter);

    assert_int_equal(dummy->end, WAITS);
    dummy->end = REFUSED;
    dummy->reason = reason;
}

/* One letter a waiter: '.' waits, 's' served, 'w' its time is up, 'l' so it is while the log is behind, 't' outdone by a quiet one,
 * 'c' closing. */
struct scene { bool is_closing, is_behind, is_short; };
static void run(const struct dummy *waiters, size_t n, struct scene scene, const char *want)
{
    struct rig rig = { 0 };
    struct dummy dummies[8];
    char got[9] = "";

    rig_open(&rig);
    talkers_add(&rig.doors->talkers, QUIET, 1000, loop_now_ns(rig.loop));
    talkers_add(&rig.doors->talkers, LOUD, 1000000, loop_now_ns(rig.loop));
    for (size_t i = 0; i < n; i++) {
        dummies[i] = waiters[i];
        dummies[i].waiter.serve = serve;
        dummies[i].waiter.give_up = give_up;
        waiting_add(rig.doors, &dummies[i].waiter);
        assert_int_equal(dummies[i].end, WAITS); /* never from inside */
    }
    rig.doors->is_closing = rig.is_idle = scene.is_closing;
    rig.doors->in_log_bytes = scene.is_behind ? IN_LOG_BYTES_MAX : 0;
    rig_leave_credit(&rig, scene.is_short ? 1 : 0);
    waiting_serve(rig.doors);
    rig.doors->in_log_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        static const char reasons[] = { [BUSY_WAIT] = 'w', [BUSY_LOG] = 'l', [BUSY_TALKER] = 't', [BUSY_CLOSING] = 'c' };
        got[i] = dummies[i].end == WAITS ? '.' : dummies[i].end == SERVED ? 's' : reasons[dummies[i].reason];
    }
    assert_string_equal(got, want);
    for (size_t i = 0; i < n; i++)
        dummies[i].has_room = true;
    waiting_serve(rig.doors); /* what was left is still in the list, once */
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(dummies[i].end, WAITS);
    assert_int_equal(rig.ingest->waiting, 0);
    assert_true(list_empty(&rig.doors->waiting));
    rig_close(&rig);
}

#define W(peer_, until, room) { .waiter = { .peer = (peer_), .give_up_ns = (until) }, .has_room = (room) }
#define CHECK_IN(scene, want, ...)                                \
    do {                                                          \
        const struct dummy waiters[] = { __VA_ARGS__ };           \
        run(waiters, MG_COUNT(waiters), scene, want);             \
    } while (0)
#define CHECK(want, is_closing_, ...) CHECK_IN(((struct scene){ .is_closing = (is_closing_) }), want, __VA_ARGS__)

static void who_finds_room_is_served_whoever_waits_before(void **state)
{
    (void)state;
    CHECK("s", false, W(QUIET, LATER, true));
    CHECK(".s.s", false, W(QUIET, LATER, false), W(QUIET, LATER, true), W(0, LATER, false), W(LOUD, LATER, true));
    CHECK("s", false, W(QUIET, PAST, true)); /* also at the last moment */
}

static void who_waited_its_time_is_refused(void **state)
{
    (void)state;
    CHECK("w.w", false, W(QUIET, PAST, false), W(QUIET, LATER, false), W(0, PAST, false));
    CHECK("w", false, W(LOUD, PAST, false));
    CHECK(".", false, W(0, 0, false)); /* no limit */
}

static void the_loud_are_refused_while_a_quiet_one_waits(void **state)
{
    (void)state;
    CHECK(".t.", false, W(QUIET, LATER, false), W(LOUD, LATER, false), W(QUIET, LATER, false));
    CHECK("t.", false, W(LOUD, LATER, false), W(QUIET, LATER, false)); /* however long they have waited */
    CHECK("s.", false, W(LOUD, LATER, true), W(QUIET, LATER, false)); /* what there is room for takes nothing from anybody */
    CHECK("tt.", false, W(LOUD, LATER, false), W(LOUD, PAST, false), W(0, LATER, false));
}

static void the_loud_wait_like_everybody_when_that_helps_nobody(void **state)
{
    (void)state;
    CHECK("..", false, W(LOUD, LATER, false), W(LOUD, LATER, false));
    CHECK(".s", false, W(LOUD, LATER, false), W(QUIET, LATER, true));
    CHECK(".w", false, W(LOUD, LATER, false), W(QUIET, PAST, false));
    CHECK("..", false, W(LOUD, LATER, false), W(0, 0, false)); /* one without a limit has time */
}

/* That the log is behind is nobody's fault, and passes; that memory is short as well is another matter. */
static void a_log_that_is_behind_refuses_nobody_before_its_time(void **state)
{
    const struct scene behind = { .is_behind = true }, both = { .is_behind = true, .is_short = true };

    (void)state;
    CHECK_IN(behind, "..", W(QUIET, LATER, false), W(LOUD, LATER, false));
    CHECK_IN(behind, "l.l", W(QUIET, PAST, false), W(LOUD, LATER, false), W(LOUD, PAST, false));
    CHECK_IN(both, ".t", W(QUIET, LATER, false), W(LOUD, LATER, false));
}

static size_t resumed(struct rig *rig, struct dummy *dummies, size_t n)
{
    size_t served = 0;

    for (size_t i = 0; i < n; i++)
        dummies[i] = (struct dummy){ .waiter = { .peer = QUIET, .give_up_ns = LATER, .serve = serve, .give_up = give_up },
                                     .has_room = i > 0 };
    for (size_t i = 0; i < n; i++)
        waiting_add(rig->doors, &dummies[i].waiter);
    waiting_resume(rig->doors);
    for (size_t i = 0; i < n; i++) {
        served += dummies[i].end == SERVED;
        if (dummies[i].end == WAITS)
            list_remove(&dummies[i].waiter.link);
    }
    rig->ingest->waiting = 0;
    return served;
}

/* Whoever the first waiter is, the others have their turn with an ack; but not while it would help nobody. */
static void an_ack_gives_turns(void **state)
{
    struct rig rig = { 0 };
    struct dummy dummies[4];

    (void)state;
    rig_open(&rig);
    assert_int_equal(resumed(&rig, dummies, 4), 3);
    rig.doors->in_log_bytes = IN_LOG_BYTES_MAX;
    assert_int_equal(resumed(&rig, dummies, 4), 0);
    rig.doors->in_log_bytes = IN_LOG_BYTES_MAX - 1;
    assert_int_equal(resumed(&rig, dummies, 4), 3);
    rig_leave_credit(&rig, 1);
    assert_int_equal(resumed(&rig, dummies, 4), 0);
    rig_leave_credit(&rig, 0);
    rig.doors->in_log_bytes = 0;
    rig_close(&rig);
}

static void at_the_end_nobody_waits(void **state)
{
    (void)state;
    CHECK("ccsc", true, W(QUIET, LATER, false), W(LOUD, LATER, false), W(QUIET, LATER, true), W(0, 0, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_finds_room_is_served_whoever_waits_before),
        cmocka_unit_test(who_waited_its_time_is_refused),
        cmocka_unit_test(the_loud_are_refused_while_a_quiet_one_waits),
        cmocka_unit_test(the_loud_wait_like_everybody_when_that_helps_nobody),
        cmocka_unit_test(a_log_that_is_behind_refuses_nobody_before_its_time),
        cmocka_unit_test(an_ack_gives_turns),
        cmocka_unit_test(at_the_end_nobody_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
