/* sampling.js - what is sampled and by whom: the ladder of overload, spans by policy, and what SDKs are told for each operation.
 *
 * A collector that does not sample has none of it and says so. Tables are made anew only when their rows have changed, so that
 * a reader's selection stays. */
import { getEffectiveSampling, getLedger, getStatus } from './api.js';
import { card, el, muted, setText } from './dom.js';
import * as format from './format.js';
import { poll } from './poll.js';
import { ladderWords, sorted, splitName, splitRows, totalWords } from './reason.js';

const POLL_MS = 5000, ROWS_MAX = 500; /* more rows than anybody reads: the filter finds the others */

/* A sortable table of [key, title, kind, cell(row)]; kind 'number' starts with the largest. Opens sorted by `key`, null: as given. */
function sortable(columns, none, key) {
    const body = el('tbody'), more = el('p', { class: 'muted' });
    let rows = [], isDescending = false, shown = '';

    const fill = () => {
        const list = key ? sorted(rows, key, isDescending) : rows;
        body.replaceChildren(...list.slice(0, ROWS_MAX).map((row) => el('tr', null,
            columns.map(([, , kind, cell]) => el('td', { class: kind }, cell(row))))));
        if (!list.length)
            body.append(el('tr', null, el('td', { colspan: columns.length, class: 'muted' }, none)));
        setText(more, list.length > ROWS_MAX ? `${format.count(list.length - ROWS_MAX)} more rows are not shown.` : '');
    };
    const heads = columns.map(([own, title, kind]) => {
        const head = el('th', { scope: 'col', class: kind });
        head.append(el('button', {
            type: 'button', class: 'sort', on: {
                click: () => {
                    isDescending = key === own ? !isDescending : kind === 'number';
                    key = own;
                    mark();
                    fill();
                },
            },
        }, title));
        return head;
    });
    const mark = () => heads.forEach((head, i) => {
        if (columns[i][0] === key)
            head.setAttribute('aria-sort', isDescending ? 'descending' : 'ascending');
        else
            head.removeAttribute('aria-sort');
    });
    mark();
    fill();
    return {
        element: [el('div', { class: 'table-room' }, el('table', { class: 'grid sortable' }, el('thead', null, el('tr', null, heads)), body)), more],
        show(next) {
            const text = JSON.stringify(next);
            if (text === shown)
                return;
            shown = text;
            rows = next;
            fill();
        },
    };
}

/* --- cards: each has an element and show(status, ledger, effective) -------------------------------- */

function ladderStrip() {
    const mark = el('span', { class: 'state-mark', 'aria-hidden': 'true' }), words = el('span');
    const pill = el('p', { class: 'state', role: 'status' }, mark, words);
    const element = el('section', { class: 'strip', 'aria-label': 'Overload', hidden: true }, pill);
    return {
        element,
        show(status) {
            const said = ladderWords(status.ladder);
            element.hidden = !said;
            if (!said)
                return;
            pill.className = `state ${said[0]}`;
            setText(mark, said[0] === 'good' ? '✓' : '!');
            setText(words, said[1]);
        },
    };
}

function nameOf(key) {
    const { name, words } = splitName(key);
    return name ?? muted(words);
}

function policiesCard() {
    const off = el('p', { class: 'muted', hidden: true }, 'Sampling is off: every trace is kept.');
    const table = sortable([
        ['name', 'Policy or class', null, ({ name: key }) => nameOf(key)],
        ['kept', 'Kept', 'number', ({ kept }) => format.count(kept)],
        ['out', 'Sampled out', 'number', ({ out }) => format.count(out)],
        ['share', 'Kept share', 'number', ({ kept, out }) => format.percent(kept, kept + out)],
    ], 'Nothing was decided yet.', null);
    const place = el('div', null, table.element);
    return {
        element: card('Spans by who decided', 'policies', place, off),
        show(status, ledger) {
            const rows = splitRows(ledger);
            off.hidden = Boolean(rows);
            place.hidden = !rows;
            table.show((rows ?? []).map((row) => ({ ...row, share: row.kept / (row.kept + row.out || 1) })));
        },
    };
}

const isIn = (row, text) => [row.service, row.operation, row.source].some((part) => String(part ?? '').toLowerCase().includes(text));

function effectiveCard() {
    const off = el('p', { class: 'muted', hidden: true }, 'This collector tells clients nothing about sampling.');
    const filter = el('input', {
        type: 'search', placeholder: 'Filter services and operations', 'aria-label': 'Filter services and operations', 'data-search': true,
        autocomplete: 'off', spellcheck: 'false',
    });
    const table = sortable([
        ['service', 'Service', null, ({ service }) => service || muted('(every other)')],
        ['operation', 'Operation', null, ({ operation }) => operation || muted('(every other)')],
        ['probability', 'Probability', 'number', ({ probability, max_traces_per_second: limit }) =>
            (Number.isFinite(limit) ? `${format.count(limit)} traces/s` : format.probability(probability))],
        ['samples_per_second', 'Samples/s', 'number', (row) => format.rate(row.samples_per_second)],
        ['source', 'Source', null, ({ source }) => source ?? '–'],
        ['is_followed', 'Followed', null, (row) => (row.is_followed ? 'yes' : muted('no'))],
    ], 'No service has this.', 'service');
    const total = el('p', { class: 'total', title: 'Samples are root spans that clients sampled, in the last interval.' });
    const place = el('div', { class: 'effective-room' }, filter, total, table.element);
    let rows = [];

    const fill = () => table.show(rows.filter((row) => isIn(row, filter.value.trim().toLowerCase())));
    filter.addEventListener('input', fill);
    return {
        element: card('What clients are told', 'effective', place, off),
        show(status, ledger, effective) {
            off.hidden = Boolean(effective);
            place.hidden = !effective;
            rows = effective ?? [];
            setText(total, totalWords(rows));
            fill();
        },
    };
}

export function showSampling(main, argument, params, signal) {
    const cards = [ladderStrip(), policiesCard(), effectiveCard()];
    const [ladder, ...rest] = cards.map((each) => each.element);
    const page = el('div', { class: 'overview loading' }, el('h1', { class: 'unseen' }, 'Sampling'), ladder,
        el('div', { class: 'cards' }, rest));
    poll(main, page, POLL_MS, signal, async () => {
        const answers = await Promise.all([getStatus(signal), getLedger(signal), getEffectiveSampling(signal)]);
        for (const each of cards)
            each.show(...answers);
    });
}
