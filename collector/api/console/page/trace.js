/* trace.js - one trace: its head, the waterfall, and the details of the span that is looked at.
 *
 * The details are a panel beside (wide) or over (narrow) the waterfall, not rows in it: all rows keep one
 * height, which is what lets the waterfall show 60,000 of them. */
import { getTrace, getWhy, isAbort, traceJsonAddress } from './api.js';
import { colorsOf } from './color.js';
import { spanDetail } from './detail.js';
import { button, el, isTyping, muted, notice, pairs, setText, swatch } from './dom.js';
import * as format from './format.js';
import { buildTree } from './tree.js';
import { Waterfall } from './waterfall.js';
import { whyLine, whyPage } from './why.js';

const SERVICES_SHOWN = 12;

function copyButton(text) {
    if (!navigator.clipboard) /* absent outside secure contexts; the text can still be selected */
        return null;
    const copy = button('Copy', async () => {
        try {
            await navigator.clipboard.writeText(text);
            setText(copy, 'Copied');
        } catch {
            setText(copy, 'Not permitted');
        }
    });
    return copy;
}

function legend(tree, colors) {
    const services = [...tree.services].sort((a, b) => b[1].spans - a[1].spans), more = services.length - SERVICES_SHOWN;
    const chip = ([name, { spans, errors }]) => el('li', { class: 'chip' }, swatch(colors.get(name)), name,
        muted(format.count(spans)), errors ? el('span', { class: 'bad-text' }, format.plural(errors, 'error')) : null);
    return el('ul', { class: 'legend', 'aria-label': 'Services' }, services.slice(0, SERVICES_SHOWN).map(chip),
        more > 0 ? el('li', { class: 'chip muted' }, `+${more} more`) : null);
}

function head(tree, colors, why) {
    const root = tree.roots[0];
    return el('div', { class: 'trace-head' },
        el('div', { class: 'trace-title' },
            el('h1', null, swatch(colors.get(root.service)), el('strong', null, root.service), ' ',
                root.span.operationName || '(no name)'),
            el('p', { class: 'trace-id' }, el('code', null, tree.id), copyButton(tree.id),
                el('a', { href: traceJsonAddress(tree.id), target: '_blank', rel: 'noopener' }, 'JSON'))),
        pairs('trace-facts', [
            ['Start', format.instant(tree.start)],
            ['Duration', format.duration(tree.duration)],
            ['Spans', format.count(tree.nodes.length)],
            ['Services', format.count(tree.services.size)],
            ['Depth', format.count(tree.depth)],
            ['Errors', format.count(tree.errors), tree.errors ? 'bad-text' : null],
        ]),
        why,
        legend(tree, colors),
        tree.warnings.map((text) => notice('warn', 'Warning.', text)));
}

/* A field that steps through the spans whose name, service or values hold the text. */
function finder(tree, waterfall) {
    const input = el('input', {
        type: 'search', placeholder: 'Find in this trace', 'aria-label': 'Find in this trace', 'data-search': true,
        autocomplete: 'off', spellcheck: 'false',
    });
    const found = el('span', { class: 'muted found-count', role: 'status' });
    let hits = [], at = -1;

    const holds = (value, text) => String(value ?? '').toLowerCase().includes(text);
    const matches = ({ span, service }, text) => span.spanID === text || holds(service, text)
        || holds(span.operationName, text)
        || (span.tags ?? []).some((tag) => holds(tag.key, text) || holds(tag.value, text));
    const go = (step) => {
        if (!hits.length)
            return;
        at = (at + step + hits.length) % hits.length;
        setText(found, `${format.count(at + 1)} of ${format.count(hits.length)}`);
        waterfall.reveal(hits[at]);
    };
    input.addEventListener('input', () => {
        const text = input.value.trim().toLowerCase();
        hits = text ? tree.nodes.filter((node) => matches(node, text)) : [];
        at = -1;
        setText(found, text ? `${hits.length ? format.count(hits.length) : 'none'} found` : '');
        waterfall.mark(new Set(hits));
    });
    input.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') {
            event.preventDefault();
            go(event.shiftKey ? -1 : 1);
        }
    });
    return el('div', { class: 'finder' }, input, found);
}

function tools(tree, waterfall) {
    const failed = tree.nodes.filter((node) => node.isError), key = (name) => el('kbd', null, name);
    let at = -1;
    return el('div', { class: 'trace-tools' },
        finder(tree, waterfall),
        failed.length ? button('Next error', () => {
            at = (at + 1) % failed.length;
            waterfall.reveal(failed[at]);
        }) : null,
        button('Expand all', () => waterfall.expandAll()),
        button('Collapse all', () => waterfall.collapseAll()),
        el('p', { class: 'hints muted' }, key('↑'), key('↓'), ' move ', key('←'), key('→'), ' fold ',
            key('Enter'), ' details ', key('/'), ' find'));
}

function fillView(main, tree, why, params, signal) {
    const colors = colorsOf(tree.services.keys()), address = `#/trace/${encodeURIComponent(tree.id)}`;
    const panel = el('aside', { class: 'detail', 'aria-label': 'Details of the span', hidden: true });
    const onSpan = (node) => waterfall.reveal(node);
    let shown = null;

    const open = (node) => {
        const isSame = shown === node && !panel.hidden;
        shown = node;
        panel.hidden = false;
        waterfall.keepInSight(false); /* the panel took some of the room */
        if (isSame)
            return;
        panel.replaceChildren(spanDetail(node, tree, colors, { onClose: close, onSpan }));
        panel.scrollTop = 0;
    };
    const close = () => {
        panel.hidden = true;
        waterfall.focus();
    };
    const waterfall = new Waterfall(tree, colors, {
        onOpen: open,
        onSelect(node) {
            if (!panel.hidden)
                open(node);
            /* Not a step of the history: the address can be copied, and "back" leaves the trace. */
            history.replaceState(null, '', `${address}?span=${encodeURIComponent(node.span.spanID)}`);
        },
    }, signal);

    document.addEventListener('keydown', (event) => {
        if (event.key === 'Escape' && !isTyping(event.target) && !panel.hidden)
            close();
    }, { signal });
    main.replaceChildren(head(tree, colors, why), tools(tree, waterfall),
        el('div', { class: 'trace-body' }, waterfall.element, panel));
    waterfall.start();
    const wanted = params.get('span') && tree.nodes.find((node) => node.span.spanID === params.get('span'));
    if (wanted) {
        waterfall.reveal(wanted);
        open(wanted);
    }
    waterfall.focus();
}

/* Where the answer goes once it is there. Without one (an older collector, or it failed) nothing is said. */
function whyPlace(asked) {
    const place = el('div', { class: 'why-place', hidden: true });
    asked.then((answer) => {
        if (!answer?.decision || answer.decision === 'unknown')
            return;
        place.hidden = false;
        place.replaceChildren(whyLine(answer));
    }, () => {}); /* the view has gone */
    return place;
}

async function showAbsent(main, id, asked) {
    const answer = await asked;
    if (answer?.decision && answer.decision !== 'unknown') {
        main.replaceChildren(whyPage(id, answer));
        return;
    }
    const words = answer ? 'No span of it has come, or it is older than what is remembered.'
        : 'It may be older than the retention, or sampled out.';
    main.replaceChildren(notice('quiet', 'No such trace.', `${id} is not known here. ${words}`));
}

async function showFailure(main, id, asked, error) {
    if (isAbort(error))
        return;
    if (error.status !== 404) {
        main.replaceChildren(notice('bad', 'The trace could not be shown.', error.message));
        return;
    }
    try {
        await showAbsent(main, id, asked);
    } catch (gone) {
        if (!isAbort(gone))
            throw gone;
    }
}

export async function showTrace(main, id, params, signal) {
    const asked = getWhy(id, signal); /* beside the trace: neither waits for the other */
    asked.catch(() => {});
    main.append(el('p', { class: 'waiting', role: 'status' }, 'Loading the trace…'));
    try {
        const tree = buildTree(await getTrace(id, signal));
        if (!tree.nodes.length) {
            main.replaceChildren(notice('quiet', 'This trace holds no spans.'));
            return;
        }
        document.title = `${tree.roots[0].service}: ${tree.roots[0].span.operationName} · Meshglass`;
        fillView(main, tree, whyPlace(asked), params, signal);
    } catch (error) {
        await showFailure(main, id, asked, error);
    }
}
