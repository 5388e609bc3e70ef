/* detail.js - everything the API tells about one span. */
import { button, el, errorMark, muted, notice, pairs, swatch } from './dom.js';
import * as format from './format.js';
import { tagText } from './query.js';
import { selfTime } from './tree.js';

const AT_ONCE = 100; /* rows of a list; a span may carry thousands of events */

function textOf({ type, value }) {
    if (type === 'binary')
        return `${value} (base64)`;
    return typeof value === 'string' ? value : JSON.stringify(value);
}

/* Opens with the first rows and a button for the rest. */
function longList(tag, className, items, make) {
    const list = el(tag, { class: className }, items.slice(0, AT_ONCE).map(make));
    if (items.length <= AT_ONCE)
        return list;
    const more = button(`Show all ${format.count(items.length)}`, () => {
        list.append(...items.slice(AT_ONCE).map(make));
        more.remove();
    });
    return [list, more];
}

function section(title, count, ...children) {
    return el('details', { class: 'part', open: true },
        el('summary', null, title, muted(` ${format.count(count)}`)), children);
}

function tagRow(tag, service) {
    const text = textOf(tag), canSearch = service !== null && text.length <= 200 && tag.type !== 'binary';
    const query = canSearch && new URLSearchParams({ service, tags: tagText(tag.key, text) });
    const find = canSearch && el('a', {
        class: 'find', href: `#/search?${query}`, title: 'Search for this value', 'aria-label': `Search for ${tag.key}=${text}`,
    }, '⌕');
    return el('div', { class: tag.key === 'error' && text === 'true' ? 'bad-text' : null },
        el('dt', null, tag.key), el('dd', null, el('span', { class: `value type-${tag.type}` }, text), find));
}

/* service: the values link to a search in it; null: they do not. */
function tagList(tags, service) {
    return longList('dl', 'tags', tags, (tag) => tagRow(tag, service));
}

function eventItem(log, node, tree) {
    const fields = log.fields ?? [], field = (key) => fields.find((tag) => tag.key === key);
    const named = field('event') ?? field('message');
    const into = `${format.instant(log.timestamp)}; ${format.duration(log.timestamp - tree.start)} into the trace`;
    const rest = fields.filter((tag) => tag !== named);
    return el('li', null,
        el('p', { class: 'event-head' },
            el('span', { class: 'event-time', title: into }, format.duration(log.timestamp - node.start)),
            el('strong', null, named ? textOf(named) : '(no name)')),
        rest.length ? tagList(rest, null) : null);
}

function referenceItem({ refType, traceID, spanID }, tree, onSpan) {
    const kind = muted(refType === 'CHILD_OF' ? 'child of ' : 'follows from '), id = el('code', null, spanID);
    if (traceID !== tree.id) {
        const address = `#/trace/${encodeURIComponent(traceID)}?span=${encodeURIComponent(spanID)}`;
        return el('li', null, kind, el('a', { href: address }, 'span ', id, ' of trace ', el('code', null, traceID)));
    }
    const inside = tree.nodes.find((other) => other.span.spanID === spanID);
    if (!inside)
        return el('li', null, kind, id, muted(' (not in this trace)'));
    return el('li', null, kind, el('button', { type: 'button', class: 'link', on: { click: () => onSpan(inside) } },
        `${inside.service}: ${inside.span.operationName}`));
}

function factsOf(node, tree) {
    return [
        ['Duration', format.duration(node.span.duration)],
        ['Without children', format.duration(selfTime(node))],
        ['Starts after', format.duration(node.start - tree.start)],
        ['Start', format.instant(node.start)],
        ['Children', format.count(node.children.length)],
        ['Span ID', el('code', null, node.span.spanID)],
    ];
}

function head(node, colors, onClose) {
    return el('div', { class: 'detail-head' },
        el('div', null, el('h2', null, node.span.operationName || '(no name)'),
            el('p', null, swatch(colors.get(node.service)), node.service,
                node.isError ? el('span', { class: 'error-word' }, errorMark(), 'error') : null)),
        el('button', {
            type: 'button', class: 'close', title: 'Close (Esc)', 'aria-label': 'Close the details', on: { click: onClose },
        }, '×'));
}

/* hooks: onClose(), onSpan(node). */
export function spanDetail(node, tree, colors, hooks) {
    const { span } = node, tags = span.tags ?? [], references = span.references ?? [];
    const ofProcess = tree.processes[span.processID]?.tags ?? [];
    const events = (span.logs ?? []).slice().sort((a, b) => a.timestamp - b.timestamp);
    const warnings = [...(span.warnings ?? []), ...(node.flaw ? [node.flaw] : [])];
    const tagsOrNone = (list) => (list.length ? tagList(list, node.service) : el('p', { class: 'muted' }, 'None.'));
    const eventList = () => longList('ol', 'events', events, (log) => eventItem(log, node, tree));
    const referenceList = () => longList('ul', 'references', references, (each) => referenceItem(each, tree, hooks.onSpan));

    return el('div', { class: 'detail-inside' },
        head(node, colors, hooks.onClose),
        pairs('detail-facts', factsOf(node, tree)),
        warnings.map((text) => notice('warn', 'Warning.', text)),
        section('Attributes', tags.length, tagsOrNone(tags)),
        events.length ? section('Events', events.length, eventList()) : null,
        references.length ? section('References', references.length, referenceList()) : null,
        section('Process', ofProcess.length, tagsOrNone(ofProcess)));
}
