/* api.js - the collector's public API, and its failures in words.
 *
 * Addresses are relative to the page (/console/), so the console also works behind a path prefix. */

const ROOT = new URL('../', document.baseURI);
const WORDS_MAX = 400;

export class ApiError extends Error {
    constructor(words, status) {
        super(words);
        this.status = status;
    }
}

const STATUS_WORDS = {
    400: 'The collector did not understand the request.',
    401: 'The collector asks for credentials.',
    403: 'The collector does not permit this.',
    404: 'There is no such thing.',
    429: 'Too many requests; try again in a moment.',
    500: 'The collector failed while answering.',
    503: 'The collector is busy or still starting; try again in a moment.',
    504: 'The collector did not finish in time; narrow the search.',
};

/* The Jaeger envelope, google.rpc.Status or plain text. */
function wordsOf(text, status) {
    let body = null;
    try {
        body = JSON.parse(text);
    } catch {
        body = null;
    }
    const said = body?.errors?.[0]?.msg ?? body?.error?.message ?? body?.message ?? body?.reason;
    if (typeof said === 'string' && said !== '')
        return `The collector says: ${said.slice(0, WORDS_MAX)}`;
    if (body === null && text.trim() !== '' && !text.trimStart().startsWith('<'))
        return `The collector says: ${text.trim().slice(0, WORDS_MAX)}`;
    return STATUS_WORDS[status] ?? `The collector answered with HTTP status ${status}.`;
}

async function get(path, signal) {
    let response, text;
    try {
        const headers = { accept: 'application/json' };
        response = await fetch(new URL(path, ROOT), { signal, headers, cache: 'no-store' });
        text = await response.text();
    } catch (error) {
        if (error.name === 'AbortError')
            throw error;
        throw new ApiError('The collector does not answer. It may have been stopped, or the connection was lost.', 0);
    }
    if (!response.ok)
        throw new ApiError(wordsOf(text, response.status), response.status);
    try {
        return JSON.parse(text);
    } catch {
        throw new ApiError('The answer was cut short or is not JSON.', response.status);
    }
}

export function isAbort(error) {
    return error?.name === 'AbortError';
}

export const getStatus = (signal) => get('api/meshglass/v1/status', signal);
export const getLedger = (signal) => get('api/meshglass/v1/ledger', signal);

export async function getServices(signal) {
    return ((await get('api/services', signal)).data ?? []).slice().sort();
}

export async function getOperations(service, signal) {
    const path = `api/services/${encodeURIComponent(service)}/operations`;
    return ((await get(path, signal)).data ?? []).slice().sort();
}

/* { traces, problems }: an answer may hold traces and still report what is missing. */
export async function findTraces(params, signal) {
    const answer = await get(`api/traces?${params}`, signal);
    return { traces: answer.data ?? [], problems: (answer.errors ?? []).map((error) => error.msg ?? '') };
}

export async function getTrace(id, signal) {
    const trace = (await get(`api/traces/${encodeURIComponent(id)}`, signal)).data?.[0];
    if (!trace)
        throw new ApiError('There is no such trace.', 404);
    return trace;
}

/* What is known of a trace's decisions, or null where the collector does not tell. */
export async function getWhy(id, signal) {
    try {
        return await get(`api/meshglass/v1/why/${encodeURIComponent(id)}`, signal);
    } catch (error) {
        if (isAbort(error))
            throw error;
        return null; /* what it is about can be shown without it */
    }
}

/* The table of head sampling, or null where there is none. */
export async function getEffectiveSampling(signal) {
    try {
        return (await get('api/sampling/effective', signal)).data ?? [];
    } catch (error) {
        if (error.status !== 404)
            throw error;
        return null;
    }
}

export function traceJsonAddress(id) {
    return new URL(`api/traces/${encodeURIComponent(id)}?prettyPrint=true`, ROOT).href;
}
