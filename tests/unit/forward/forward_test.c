/* forward_test.c - when batches are done, what a restart gives again, and stops. */
#include "rig.h"

/* --- done and positions ----------------------------------------------------------------------------- */

static void a_batch_is_done_when_every_queue_has_it_and_in_order(void **state)
{
    struct rig *rig = *state;
    struct gift *gifts[6];

    rig->boxes[1].conf.take = SEND_EVERYTHING;
    rig_start(rig, 2);
    postbox_refuse(&rig->boxes[1], true);
    for (size_t i = 0; i < 6; i++)
        gifts[i] = give(rig, 10 * (i + 1), i % 2 ? 0 : 4); /* every second one is empty */
    AWAIT(postbox_spans(&rig->boxes[0]) == 12);
    assert_int_equal(ranks, 0);
    AWAIT(metric_of(rig, "meshglass_forward_waiting_batches") == 6);
    postbox_refuse(&rig->boxes[1], false);
    AWAIT(gifts[5]->rank);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(gifts[i]->rank, i + 1);
    AWAIT(metric_of(rig, "meshglass_forward_waiting_batches") == 0);
    assert_int_equal(metric_of(rig, "meshglass_forward_waiting_bytes"), 0);
}

static void who_has_a_position_does_not_get_it_again(void **state)
{
    struct rig *rig = *state;

    rig_start(rig, 1); /* the second exporter is new at the next start */
    give(rig, 10, 1);
    give(rig, 20, 2);
    give_done(rig, 30, 4);
    AWAIT(postbox_spans(&rig->boxes[0]) == 7);
    rig_end(rig, false);
    rig->boxes[0].conf.batch_wait_ns = rig->boxes[1].conf.batch_wait_ns = 60 * SECOND; /* equal rows: one stream */
    rig_start(rig, 2);
    assert_int_equal(forward_recovered(rig->forward), 0);
    assert_int_equal(forward_newest(rig->forward), 30);
    give(rig, 20, 2);
    give(rig, 30, 4);
    give(rig, 40, 8);
    give(rig, 50, 16);
    await_encoded(rig, 30);
    forward_stop(rig->forward);
    AWAIT(postbox_spans(&rig->boxes[1]) == 30);
    AWAIT(postbox_spans(&rig->boxes[0]) == 31);
    assert_int_equal(postbox_posts(&rig->boxes[1]), 2); /* cut where the first one begins to lack */
    assert_int_equal(ranks, 7);
}

static void what_all_have_is_done_without_a_queue(void **state)
{
    struct rig *rig = *state;

    rig_start(rig, 2);
    give_done(rig, 30, 4);
    AWAIT(postbox_spans(&rig->boxes[0]) == 4 && postbox_spans(&rig->boxes[1]) == 4);
    rig_end(rig, false);
    rig_start(rig, 2);
    postbox_refuse(&rig->boxes[0], true);
    postbox_refuse(&rig->boxes[1], true);
    give_done(rig, 30, 4);
    assert_int_equal(metric_of(rig, "meshglass_forward_encoded_spans_total"), 0);
    postbox_refuse(&rig->boxes[0], false);
    postbox_refuse(&rig->boxes[1], false);
}

static void a_kill_loses_nothing_that_was_done(void **state)
{
    struct rig *rig = *state;
    struct gift *gifts[4];

    rig->boxes[0].is_mute = true;
    rig_start(rig, 1);
    gifts[0] = give(rig, 10, 3);
    gifts[1] = give(rig, 20, 5);
    AWAIT(gifts[1]->rank);
    postbox_refuse(&rig->boxes[0], true);
    gifts[2] = give(rig, 30, 7);
    await_encoded(rig, 15);
    rig_end(rig, true);
    assert_int_equal(gifts[2]->rank, 0);
    rig->boxes[0].is_mute = false;
    rig_start(rig, 1);
    assert_int_equal(forward_recovered(rig->forward), 20);
    give(rig, 10, 3);
    give(rig, 20, 5);
    gifts[3] = give(rig, 30, 7);
    AWAIT(gifts[3]->rank);
    AWAIT(postbox_spans(&rig->boxes[0]) == 15);
}

static void a_stop_puts_what_was_given(void **state)
{
    struct rig *rig = *state;
    struct gift *gifts[3];

    rig->boxes[0].conf.batch_wait_ns = 60 * SECOND;
    rig_start(rig, 1);
    for (size_t i = 0; i < 3; i++)
        gifts[i] = give(rig, 10 * (i + 1), 6);
    await_encoded(rig, 18);
    forward_stop(rig->forward);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(gifts[i]->rank, i + 1);
    AWAIT(postbox_spans(&rig->boxes[0]) == 18);
    assert_int_equal(postbox_posts(&rig->boxes[0]), 1);
}

static void a_stop_does_not_wait_for_a_disk_that_refuses(void **state)
{
    struct rig *rig = *state;
    struct gift *gift;

    rig_start(rig, 2);
    postbox_refuse(&rig->boxes[0], true);
    gift = give(rig, 10, 6);
    AWAIT(postbox_spans(&rig->boxes[1]) == 6);
    step_ns = SECOND / 10;
    rig_end(rig, false);
    assert_int_equal(gift->rank, 0);
    postbox_refuse(&rig->boxes[0], false);
    rig_start(rig, 2);
    assert_int_equal(forward_recovered(rig->forward), 0);
    assert_int_equal(forward_newest(rig->forward), 10);
}

static void nothing_given_is_a_stop_at_once(void **state)
{
    struct rig *rig = *state;

    rig_start(rig, 3);
}

static void new_rows_are_taken_over(void **state)
{
    struct rig *rig = *state;
    struct send_conf confs[2];
    struct gift *gift;

    rig->boxes[0].conf.batch_wait_ns = rig->boxes[1].conf.batch_wait_ns = 60 * SECOND;
    rig_start(rig, 2);
    gift = give(rig, 10, 6);
    await_encoded(rig, 6);
    confs[0] = (struct send_conf){ .take = SEND_EVERYTHING, .queue_bytes = 1 << 30, .batch_spans = 2 };
    confs[1] = (struct send_conf){ .take = SEND_KEPT, .queue_bytes = 1 << 30, .batch_spans = 3 };
    forward_reload(rig->forward, (const struct send_conf *const[]){ &confs[0], &confs[1] });
    memset(confs, 0, sizeof confs); /* they were copied */
    AWAIT(gift->rank); /* what waited goes with the old rows */
    gift = gift_new(rig, 20);
    add_trace(rig, gift, 6, 0, true);
    add_trace(rig, gift, 6, 0, false);
    forward_put(rig->forward, &gift->batch);
    AWAIT(gift->rank && postbox_spans(&rig->boxes[0]) == 18 && postbox_spans(&rig->boxes[1]) == 12);
    assert_int_equal(postbox_posts(&rig->boxes[0]), 1 + 6);
    assert_int_equal(postbox_posts(&rig->boxes[1]), 1 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_batch_is_done_when_every_queue_has_it_and_in_order),
        RIG_TEST(who_has_a_position_does_not_get_it_again),
        RIG_TEST(what_all_have_is_done_without_a_queue),
        RIG_TEST(a_kill_loses_nothing_that_was_done),
        RIG_TEST(a_stop_puts_what_was_given),
        RIG_TEST(a_stop_does_not_wait_for_a_disk_that_refuses),
        RIG_TEST(nothing_given_is_a_stop_at_once),
        RIG_TEST(new_rows_are_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
