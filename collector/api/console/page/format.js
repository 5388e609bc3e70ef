/* format.js - numbers and times for people. Durations and instants are microseconds, as in the API. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const two = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 2 });
const three = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const US_SECOND = 1e6, US_MINUTE = 60e6, US_HOUR = 3600e6;

export function count(n) {
    return Number.isFinite(n) ? whole.format(n) : '–';
}

export function plural(n, one, many) {
    return `${count(n)} ${n === 1 ? one : many ?? `${one}s`}`;
}

/* At most three digits that matter, no trailing zeros. */
function short(n) {
    const digits = n >= 100 ? 0 : n >= 10 ? 1 : 2;
    return String(Number(n.toFixed(digits)));
}

/* The unit is chosen after rounding, so that 999.96 ms does not read "1000 ms". */
export function duration(us) {
    if (!Number.isFinite(us))
        return '–';
    if (us < 0)
        return `−${duration(-us)}`;
    if (Math.round(us) < 1000)
        return `${short(us)} µs`;
    if (us < 999.5e3)
        return `${short(us / 1e3)} ms`;
    if (us < 59.95 * US_SECOND)
        return `${short(us / US_SECOND)} s`;
    if (us < US_HOUR - US_SECOND / 2) {
        const seconds = Math.round(us / US_SECOND);
        return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    }
    const minutes = Math.round(us / US_MINUTE);
    return `${count(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

export function rate(n) {
    if (!Number.isFinite(n))
        return '–';
    if (n > 0 && n < 1)
        return two.format(n); /* what comes once in a minute is not nothing */
    return n >= 100 || Number.isInteger(n) ? whole.format(n) : n.toFixed(1);
}

export function bytes(n) {
    if (!Number.isFinite(n))
        return '–';
    let unit = 0;
    while (n >= 1023.5 && unit < BYTE_UNITS.length - 1) {
        n /= 1024;
        unit++;
    }
    return `${short(n)} ${BYTE_UNITS[unit]}`;
}

/* Not nothing never reads 0 %, not all never 100 %. */
export function percent(part, all) {
    if (!(all > 0))
        return '0 %';
    const share = (100 * part) / all;
    if (share > 0 && share < 0.1)
        return '< 0.1 %';
    if (share > 99 && share < 100)
        return `${Math.floor(share * 10) / 10} %`;
    return `${share < 10 ? Number(share.toFixed(1)) : Math.round(share)} %`;
}

/* Of a trace to be kept. Adaptive ones may be very small, so digits that matter count, and not places; less than one
 * never reads 100 %. */
export function probability(p) {
    if (!Number.isFinite(p))
        return '–';
    const share = 100 * p;
    return `${share > 99 && share < 100 ? Math.floor(share * 10) / 10 : three.format(share)} %`;
}

/* How many traces one stands for. */
export function adjusted(n) {
    return n >= 100 ? whole.format(n) : String(Number(n.toFixed(1)));
}

const padded = (n) => String(n).padStart(2, '0');

export function day(us) {
    const at = new Date(us / 1000);
    return `${at.getFullYear()}-${padded(at.getMonth() + 1)}-${padded(at.getDate())}`;
}

export function clock(us) {
    const at = new Date(us / 1000);
    const ms = String(at.getMilliseconds()).padStart(3, '0');
    return `${padded(at.getHours())}:${padded(at.getMinutes())}:${padded(at.getSeconds())}.${ms}`;
}

export function instant(us) {
    return Number.isFinite(us) ? `${day(us)} ${clock(us)}` : '–';
}

/* "2026-11-25 15:52:42" of an RFC 3339 text; empty stays empty. */
export function instantOfText(text) {
    const ms = Date.parse(text);
    return Number.isNaN(ms) ? '' : instant(ms * 1000).slice(0, 19);
}

export function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60)
        return `${s} s`;
    if (s < 3600)
        return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400)
        return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function ago(us, nowUs) {
    const seconds = (nowUs - us) / US_SECOND;
    if (seconds < 0)
        return `in ${span(-seconds)}`;
    return seconds < 1 ? 'just now' : `${span(seconds).split(' ').slice(0, 2).join(' ')} ago`;
}
