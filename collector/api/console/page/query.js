/* query.js - a search as the form holds it, as the address bar holds it, as the API takes it; trace IDs as
 * people type them. No page in here. */

export const LOOKBACKS = [
    ['15m', 'last 15 minutes', 900], ['1h', 'last hour', 3600], ['3h', 'last 3 hours', 10800],
    ['12h', 'last 12 hours', 43200], ['1d', 'last day', 86400], ['2d', 'last 2 days', 172800],
    ['7d', 'last 7 days', 604800],
];
export const LIMIT_MAX = 1000;
const DEFAULTS = {
    service: '', operation: '', tags: '', min: '', max: '', lookback: '1h', start: '', end: '', limit: '20',
};
const DURATION = /^(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$/;

export function queryOf(params) {
    const query = { ...DEFAULTS };
    for (const key of Object.keys(query))
        query[key] = params.get(key) ?? query[key];
    return query;
}

export function paramsOf(query) {
    const params = new URLSearchParams();
    for (const [key, value] of Object.entries(query))
        if (value !== DEFAULTS[key] && (query.lookback === 'custom' || (key !== 'start' && key !== 'end')))
            params.set(key, value);
    return params;
}

/* `a=b "c d"="e f"` to { a: 'b', 'c d': 'e f' }; a sentence instead when it cannot be read. */
export function parseTags(text) {
    const tags = {};
    const pair = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s="]+))\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))(?=\s|$)/y;
    const bare = (quoted, plain) => (quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1'));
    while (text.slice(pair.lastIndex).trim() !== '') {
        const rest = text.slice(pair.lastIndex).trim(), match = pair.exec(text);
        if (!match)
            return `“${rest.slice(0, 40)}” is not key=value. Put values with spaces in double quotes.`;
        tags[bare(match[1], match[2])] = bare(match[3], match[4]);
    }
    return tags;
}

export function tagText(key, value) {
    const quote = (text, plain) => (plain.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`);
    return `${quote(key, /^[^\s="]+$/)}=${quote(value, /^[^\s"]+$/)}`;
}

/* Local time as the two datetime fields give it, to microseconds; NaN when it is none. */
export function localToUs(text) {
    return new Date(text).getTime() * 1000;
}

export function usToLocal(us) {
    const at = new Date(us / 1000);
    return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function windowOf(query, nowUs, problems) {
    if (query.lookback !== 'custom') {
        const row = LOOKBACKS.find(([key]) => key === query.lookback) ?? LOOKBACKS[1];
        return { start: nowUs - row[2] * 1e6, end: nowUs };
    }
    const start = localToUs(query.start), end = localToUs(query.end);
    if (Number.isNaN(start))
        problems.start = 'Give the time from which to search.';
    if (Number.isNaN(end))
        problems.end = 'Give the time up to which to search.';
    if (start > end)
        problems.end = 'The end is before the start.';
    return { start, end };
}

/* { params, problems }: problems by field; params is what the API takes when there are none. */
export function apiParams(query, nowUs) {
    const problems = {}, params = new URLSearchParams(), tags = parseTags(query.tags);
    if (typeof tags === 'string')
        problems.tags = tags;
    for (const key of ['min', 'max'])
        if (query[key] !== '' && !DURATION.test(query[key].replaceAll(' ', '')))
            problems[key] = 'Write it like 250ms, 1.5s or 1m30s.';
    if (!/^\d{1,6}$/.test(query.limit) || Number(query.limit) < 1 || Number(query.limit) > LIMIT_MAX)
        problems.limit = `A number from 1 to ${LIMIT_MAX}.`;
    const { start, end } = windowOf(query, nowUs, problems);

    const put = (key, value) => value !== '' && params.set(key, value);
    put('service', query.service);
    put('operation', query.operation);
    put('tags', typeof tags === 'object' && Object.keys(tags).length ? JSON.stringify(tags) : '');
    put('minDuration', query.min.replaceAll(' ', ''));
    put('maxDuration', query.max.replaceAll(' ', ''));
    put('start', String(Math.floor(start)));
    put('end', String(Math.floor(end)));
    put('limit', query.limit);
    return { params, problems };
}

/* The ID as the API takes it, or null. Traceparent headers and UUIDs are what people have in their hands. */
export function parseTraceId(text) {
    const bare = text.trim().replace(/^0x/i, '');
    const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/i.exec(bare);
    const hex = parent ? parent[1] : bare.replaceAll('-', '');
    return /^[0-9a-f]{1,32}$/i.test(hex) ? hex.toLowerCase() : null;
}
