/* slow_resolver.h - a resolver that is slow: a program that links this looks names up through it,
 * and a lookup of "slow.test" waits on its thread until the test lets it go. Every other name goes
 * to the system's resolver. */
#pragma once

void slow_resolver_init(void);    /* once, before the first lookup */
void slow_resolver_wait(void);    /* until a further lookup has begun */
void slow_resolver_let_end(void); /* one of those that wait; it has ended when this returns */
