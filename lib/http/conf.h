/* conf.h - the `http` section's rows: limits that hold for every HTTP door. */
#pragma once
#include "conf/conf.h"
#include "http/http.h"
extern const struct conf_field http_fields[];
extern const size_t http_fields_n;
