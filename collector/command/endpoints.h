/* endpoints.h - where spans are sent to and taken from, as the rows say it: what can be known to be wrong before a door is open.
 * Private to the module.
 *
 * The form of the rows that name servers: what is none is refused here, so that nobody prints or logs it with a password in it. And
 * circles, in which a span would be sent for ever: an exporter towards a door of this very collector, a topic that is consumed and
 * produced. No name is looked up: what only a resolver knows to be this machine is not found. */
#pragma once
#include "command/settings.h"

/* E_FORMAT names the row, and both rows of a circle. Holds no user and no password. */
enum mg_err endpoints_check(const struct settings *settings, struct mg_why *why) MG_MUST_USE;
