/* head_follow.c - services and operations of which roots have come: see head_private.h. A slot of the throughput is one operation, or what is
 * counted for a service as a whole; a service lasts as long as it has one. */
#include "sample/head_private.h"

static void find_rules(const struct head *head, struct head_subject *subject)
{
    subject->class = subject->operation.len ? class_of_operation(head->own.rules->classes, subject->operation) : CLASS_NONE;
    subject->override = head_override_of(head->own.rules, subject);
}

static struct service *service_of(struct head *head, struct str name)
{
    bool is_new;
    void **place = map_put(&head->own.services, name, &is_new);
    struct service *service;

    if (!is_new)
        return *place;
    service = *place = MEM_NEW(struct service);
    service->name = str_text(name);
    service->follower = follower_new();
    service->defaults.service = service;
    service->defaults.slot = HEAD_NO_SLOT;
    service->defaults.seen.follower = service->follower;
    service->defaults.seen.subject = (struct head_subject){ .service = str_n(service->name, name.len) };
    find_rules(head, &service->defaults.seen.subject);
    return service;
}

/* As the next table will say it: it may not be made before the interval ends. */
static void rule_first(const struct head *head, struct operation *operation)
{
    struct head_subject subject = operation->seen.subject;

    subject.has_default = operation->service->defaults.seen.subject.has_result && subject.operation.len > 0;
    subject.result_default = operation->service->defaults.seen.subject.result;
    head_rule(head->own.rules, head->own.strategies, &subject, &operation->seen.ruling);
}

static void adopt(struct head *head, size_t slot)
{
    struct str name = throughput_operation(head->throughput, slot);
    struct service *service = service_of(head, throughput_service(head->throughput, slot));
    struct operation *operation = name.len ? MEM_NEW(struct operation) : &service->defaults;

    operation->service = service;
    operation->slot = slot;
    operation->read = (struct throughput_sums){ 0 };
    operation->seen.follower = service->follower;
    operation->seen.subject = (struct head_subject){ .service = service->defaults.seen.subject.service, .operation = name };
    find_rules(head, &operation->seen.subject);
    rule_first(head, operation);
    service->n_slots++;
    head->own.by_slot.at[slot] = operation;
    head->own.is_changed = true;
}

struct operation *head_follow_slot(struct head *head, size_t slot)
{
    while (head->own.by_slot.n <= slot)
        VEC_PUSH(&head->own.by_slot, NULL);
    if (!head->own.by_slot.at[slot] && throughput_is_used(head->throughput, slot))
        adopt(head, slot);
    return head->own.by_slot.at[slot];
}

void head_follow_slots(struct head *head)
{
    for (size_t i = 0; i < throughput_slots(head->throughput); i++)
        (void)head_follow_slot(head, i); /* NULL: it is free */
}

static void service_free(struct service *service)
{
    adaptive_fini(&service->defaults.adaptive);
    follower_unref(&service->follower);
    mem_free(service->name);
    mem_free(service);
}

static void operation_free(struct operation *operation)
{
    adaptive_fini(&operation->adaptive);
    if (operation != &operation->service->defaults)
        mem_free(operation);
}

void head_forget(struct head *head, struct operation *operation)
{
    struct service *service = operation->service;

    head->own.by_slot.at[operation->slot] = NULL;
    throughput_retire(head->throughput, operation->slot); /* its name is gone from here on */
    head->own.is_changed = true;
    operation->slot = HEAD_NO_SLOT;
    operation->seen.subject.has_result = false;
    operation->seen.rate = 0;
    operation_free(operation);
    if (--service->n_slots == 0) {
        (void)map_remove(&head->own.services, service->defaults.seen.subject.service, NULL);
        service_free(service);
    }
}

void head_follow_rules(struct head *head)
{
    struct str name;
    void *service;

    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        find_rules(head, &((struct service *)service)->defaults.seen.subject);
    for (size_t i = 0; i < head->own.by_slot.n; i++)
        if (head->own.by_slot.at[i])
            find_rules(head, &head->own.by_slot.at[i]->seen.subject);
}

void head_follow_fini(struct head *head)
{
    struct str name;
    void *service;

    for (size_t i = 0; i < head->own.by_slot.n; i++)
        if (head->own.by_slot.at[i])
            operation_free(head->own.by_slot.at[i]);
    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        service_free(service);
    map_fini(&head->own.services);
    VEC_FINI(&head->own.by_slot);
}
