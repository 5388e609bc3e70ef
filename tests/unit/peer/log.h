/* log.h - what is logged between two calls; more than 60 KiB of it fails. One thread calls, any may log. */
#pragma once
void rig_log_begin(void);
const char *rig_log_so_far(void); /* the same memory each time */
const char *rig_log_end(void);
