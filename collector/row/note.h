/* note.h - does what comes under one name repeat? One word that counts values in windows of at
 * least NOTE_WINDOW: a window with over 60 % new ones says "raw", and that stays. 0 at first.
 *
 * For interners only: the words of keys stand in the epoch (epoch_note). Loop thread. */
#pragma once
#include "base/str.h"

#define NOTE_RAW             ((uint32_t)1 << 31)
#define NOTE_WINDOW          256
#define NOTE_NEW_PERCENT_MAX 60

/* Bits 0..15: seen in this window; 16..30: new ones among them. */
#define NOTE_SEEN(note)      ((note) & 0xffff)
#define NOTE_NEW(note)       ((note) >> 16 & 0x7fff)

static inline void note_value(uint32_t *note, uint32_t n, bool is_new)
{
    uint32_t seen = MG_MIN(NOTE_SEEN(*note) + n, (uint32_t)0xffff);
    uint32_t fresh = NOTE_NEW(*note) + is_new;

    if (*note & NOTE_RAW)
        return;
    if (seen < NOTE_WINDOW)
        *note = fresh << 16 | seen;
    else
        *note = fresh * 100 > seen * NOTE_NEW_PERCENT_MAX ? NOTE_RAW : 0;
}
