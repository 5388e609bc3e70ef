/* overview.js - is it well, how much comes in, does the ledger balance, how much room is left.
 *
 * Both answers are fetched together every two seconds while the page is visible (poll.js). The elements are made once and
 * their texts replaced, so that nothing jumps. The history of the rate outlives the view. */
import { getLedger, getStatus } from './api.js';
import { card, el, setStyle, setText, swatch } from './dom.js';
import * as format from './format.js';
import { poll } from './poll.js';
import { Sparkline } from './sparkline.js';

const POLL_MS = 2000, HISTORY_MIN = 30, HISTORY = 150; /* 1 to 5 minutes */
const rates = [];

const STATES = {
    serving: ['good', '✓', 'Serving'],
    starting: ['warn', '…', 'Starting'],
    stopping: ['warn', '■', 'Stopping'],
    refusing: ['bad', '!', 'Refusing spans'],
};
const PARTS = [
    ['stored', 'stored', 'Kept and written to the store.'],
    ['sampled_out', 'sampled out', 'Dropped by a recorded sampling decision.'],
    ['duplicate', 'duplicate', 'Equal in every field to a span already there; kept once.'],
    ['pending', 'pending', 'Durable in the journal; their trace is not decided yet.'],
];
const DOORS = {
    otlp_grpc: 'OTLP over gRPC', otlp_http: 'OTLP over HTTP', zipkin: 'Zipkin', jaeger_grpc: 'Jaeger over gRPC',
    jaeger_thrift_http: 'Jaeger Thrift over HTTP', jaeger_compact: 'Jaeger compact (UDP)',
    jaeger_binary: 'Jaeger binary (UDP)',
    sampling_http: 'Sampling over HTTP', sampling_grpc: 'Sampling over gRPC', query_http: 'Query, console, admin',
    query_grpc: 'Query over gRPC', prometheus: 'Prometheus API', metrics: 'Metrics', health: 'Health',
};

/* A definition list whose values are set later: facts.set({ label: text }). */
function factList(labels) {
    const values = new Map(labels.map((label) => [label, el('dd', null, '–')]));
    return {
        element: el('dl', { class: 'facts' },
            labels.map((label) => el('div', null, el('dt', null, label), values.get(label)))),
        set(facts) {
            for (const [label, text] of Object.entries(facts))
                setText(values.get(label), text);
        },
        mark(label, isBad) {
            values.get(label).classList.toggle('bad-text', isBad);
        },
    };
}

/* A bar of parts: [[class, share 0–1]]. The words beside it say the same. */
function shareBar(classes) {
    const parts = classes.map((name) => el('span', { class: `share ${name}` }));
    return {
        element: el('div', { class: 'share-bar', 'aria-hidden': 'true' }, parts),
        set(shares) {
            parts.forEach((part, i) => setStyle(part, 'flex-grow', String(Math.max(0, shares[i] || 0))));
        },
    };
}

/* --- cards: each has an element and show(status, ledger) ------------------------------------------- */

function replayWords(replay) {
    if (!replay || replay.done)
        return '';
    return `Reading the journal: ${format.count(replay.records)} of ${format.count(replay.total)} records `
        + `(${format.percent(replay.records, replay.total)}).`;
}

function stateCard() {
    const mark = el('span', { class: 'state-mark', 'aria-hidden': 'true' });
    const word = el('span', null, 'Asking…');
    const pill = el('p', { class: 'state', role: 'status' }, mark, word);
    const reason = el('p', { class: 'reason' });
    const facts = factList(['Version', 'Up for', 'Started', 'Memory']);
    return {
        element: el('section', { class: 'strip', 'aria-label': 'State of the collector' },
            el('div', { class: 'strip-state' }, pill, reason), facts.element),
        show(status) {
            const [kind, sign, name] = STATES[status.state] ?? ['warn', '?', String(status.state)];
            pill.className = `state ${kind}`;
            setText(mark, sign);
            setText(word, name);
            setText(reason, replayWords(status.replay) || status.reason || '');
            facts.set({
                'Version': status.version,
                'Up for': format.span(status.uptime_s),
                'Started': format.instantOfText(status.started_at),
                'Memory': format.bytes(status.memory?.rss_bytes),
            });
        },
    };
}

function rateWords(values) {
    if (!values.length)
        return 'Spans per second: no values yet';
    const highest = format.rate(Math.max(...values)), time = format.span(((values.length - 1) * POLL_MS) / 1000);
    return `Spans per second: now ${format.rate(values.at(-1))}, highest ${highest} in ${time}`;
}

function rateCard() {
    const now = el('span', { class: 'big' }, '–'), since = el('span');
    const sparkline = new Sparkline(format.rate, rateWords);
    return {
        element: card('Spans per second', 'rate', now, sparkline.element,
            el('p', { class: 'axis' }, since, el('span', null, 'now'))),
        show(status) {
            rates.push(status.spans_per_second);
            rates.splice(0, rates.length - HISTORY);
            setText(now, format.rate(status.spans_per_second));
            const slots = Math.max(HISTORY_MIN, rates.length);
            sparkline.show(rates, slots);
            setText(since, `${Math.round((slots * POLL_MS) / 60000)} min ago`);
        },
    };
}

function ledgerCard() {
    const bar = shareBar(PARTS.map(([key]) => `part-${key}`));
    const cells = new Map(PARTS.map(([key]) => [key, el('td', { class: 'number' })]));
    const shares = new Map(PARTS.map(([key]) => [key, el('td', { class: 'number muted' })]));
    const sum = el('td', { class: 'number' }), accepted = el('td', { class: 'number' });
    const verdict = el('p', { class: 'verdict' }), apart = el('p', { class: 'muted' });
    const rows = PARTS.map(([key, name, help], i) => el('tr', null,
        el('td', { class: 'sign' }, i ? '+' : ''),
        el('th', { scope: 'row', title: help }, swatch(`part-${key}`), name),
        cells.get(key), shares.get(key)));
    const last = (className, sign, name, value) => el('tr', { class: className },
        el('td', { class: 'sign' }, sign), el('th', { scope: 'row' }, name), value, el('td'));
    const table = el('table', { class: 'ledger' },
        el('tbody', null, rows),
        el('tfoot', null, last('sum', '=', 'sum', sum), last(null, '', 'accepted', accepted)));
    return {
        element: card('Ledger of spans', 'ledger-card', bar.element, table, verdict, apart),
        show(status, ledger) {
            const total = PARTS.reduce((all, [key]) => all + (ledger[key] ?? 0), 0);
            for (const [key] of PARTS) {
                setText(cells.get(key), format.count(ledger[key]));
                setText(shares.get(key), format.percent(ledger[key], ledger.accepted));
            }
            bar.set(PARTS.map(([key]) => ledger[key] / (ledger.accepted || 1)));
            setText(sum, format.count(total));
            setText(accepted, format.count(ledger.accepted));
            const difference = ledger.accepted - total;
            verdict.className = `verdict ${difference ? 'bad' : 'good'}`;
            setText(verdict, difference ? `! The ledger is off by ${format.count(difference)}.`
                : '✓ Balances: every accepted span is accounted for.');
            setText(apart, `Apart from it, ${format.count(ledger.refused)} refused at the door. `
                + `Of the accepted, ${format.count(ledger.late)} came late.`);
        },
    };
}

function doorsCard() {
    const body = el('tbody'), column = (name) => el('th', { scope: 'col' }, name);
    let shown = '';
    return {
        element: card('Doors', 'doors', el('table', { class: 'grid' },
            el('thead', null, el('tr', null, column('Door'), column('Address'))), body)),
        show(status) {
            const text = JSON.stringify(status.doors);
            if (text === shown)
                return;
            shown = text;
            body.replaceChildren(...(status.doors ?? []).map((row) => el('tr', null,
                el('td', null, DOORS[row.door], el('code', { class: 'muted' }, row.door)),
                el('td', null, el('code', { class: 'address' }, row.address)))));
            if (!status.doors?.length)
                body.append(el('tr', null, el('td', { colspan: 2, class: 'muted' }, 'No door is open yet.')));
        },
    };
}

function ofAll(part, all) {
    return `${format.bytes(part)} of ${format.bytes(all)} (${format.percent(part, all)})`;
}

function diskCard() {
    const bar = shareBar(['disk-store', 'disk-journal', 'disk-other', 'disk-free']);
    const key = (name, text) => el('span', null, swatch(name), text);
    const keys = el('p', { class: 'keys muted' }, key('disk-store', 'store'), key('disk-journal', 'journal'),
        key('disk-other', 'other files'), key('disk-free', 'free'));
    const facts = factList(['Store', 'Journal', 'Free', 'Oldest data', 'Partitions', 'Blocks', 'Stored spans',
        'Stored traces', 'Failed commits']);
    return {
        element: card('Disk and retention', 'disk', bar.element, keys, facts.element),
        show({ store, journal, disk }) {
            const other = disk.total_bytes - disk.free_bytes - store.disk_bytes - journal.bytes;
            const all = disk.total_bytes || 1;
            bar.set([store.disk_bytes, journal.bytes, other, disk.free_bytes].map((part) => part / all));
            const oldest = format.instantOfText(store.oldest);
            const age = oldest && format.ago(Date.parse(store.oldest) * 1000, Date.now() * 1000);
            facts.set({
                'Store': format.bytes(store.disk_bytes), 'Journal': format.bytes(journal.bytes),
                'Free': ofAll(disk.free_bytes, disk.total_bytes),
                'Oldest data': oldest ? `${oldest} (${age})` : 'none stored yet',
                'Partitions': format.count(store.partitions), 'Blocks': format.count(store.blocks),
                'Stored spans': format.count(store.spans), 'Stored traces': format.count(store.traces),
                'Failed commits': format.count(store.failed_commits),
            });
            facts.mark('Failed commits', store.failed_commits > 0);
        },
    };
}

function logCard() {
    const bar = shareBar(['ring-used', 'ring-free']);
    const facts = factList(['Ring', 'Traces in it', 'Ring segments', 'Journal segments', 'Journal', 'Log position',
        'Decided and stored (C)', 'Counted (P)', 'Replay begins at']);
    return {
        element: card('Ring and journal', 'log', bar.element, facts.element),
        show({ state, ring, journal, positions }) {
            const isRefusing = journal.refusing ?? state === 'refusing';
            bar.set([ring.bytes, ring.budget_bytes - ring.bytes].map((part) => part / (ring.budget_bytes || 1)));
            facts.set({
                'Ring': ofAll(ring.bytes, ring.budget_bytes),
                'Traces in it': format.count(ring.traces), 'Ring segments': format.count(ring.segments),
                'Journal segments': format.count(journal.segments),
                'Journal': isRefusing ? 'refuses writes' : 'writing',
                'Log position': format.count(positions.log), 'Decided and stored (C)': format.count(positions.c),
                'Counted (P)': format.count(positions.p), 'Replay begins at': format.count(positions.watermark),
            });
            facts.mark('Journal', isRefusing);
        },
    };
}

/* --- the view -------------------------------------------------------------------------------------- */

export function showOverview(main, argument, params, signal) {
    const cards = [stateCard(), rateCard(), ledgerCard(), doorsCard(), diskCard(), logCard()];
    const [state, ...rest] = cards.map((each) => each.element);
    const page = el('div', { class: 'overview loading' }, el('h1', { class: 'unseen' }, 'Overview'), state,
        el('div', { class: 'cards' }, rest));
    poll(main, page, POLL_MS, signal, async () => {
        const [status, ledger] = await Promise.all([getStatus(signal), getLedger(signal)]);
        for (const each of cards)
            each.show(status, ledger);
    });
}
