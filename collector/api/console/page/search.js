/* search.js - the form, and the traces it finds, newest first.
 *
 * The address holds the query: submitting only changes the address, and the view that the address opens runs
 * the search. So back, forward, reload and a link sent to a colleague all do the same. */
import { findTraces, getOperations, getServices, isAbort } from './api.js';
import { colorsOf } from './color.js';
import { el, errorMark, muted, notice, setStyle, setText, swatch } from './dom.js';
import * as format from './format.js';
import { LIMIT_MAX, LOOKBACKS, apiParams, paramsOf, queryOf, usToLocal } from './query.js';
import { summarize } from './tree.js';

const ORDERS = [
    ['newest', 'newest first', (a, b) => b.start - a.start],
    ['longest', 'longest first', (a, b) => b.duration - a.duration],
    ['largest', 'most spans first', (a, b) => b.spans - a.spans],
    ['failed', 'most errors first', (a, b) => b.errors - a.errors],
];
const SERVICES_SHOWN = 6;

/* --- form ------------------------------------------------------------------------------------------ */

function field(key, label, control, extra) {
    control.id = `q-${key}`;
    control.name = key;
    control.setAttribute('aria-describedby', `e-${key}`);
    return el('div', { class: `field field-${key}` }, el('label', { for: control.id }, label), control,
        el('p', { class: 'field-error', id: `e-${key}` }), extra);
}

function select(options, value) {
    const control = el('select', null, options.map(([key, text]) => el('option', { value: key }, text)));
    control.value = value;
    return control;
}

/* The chosen name stays in the list also when the collector does not know it (any more). */
function fill(control, all, names, value) {
    const known = value === '' || names.includes(value) ? names : [value, ...names];
    const option = (name) => el('option', { value: name }, name);
    control.replaceChildren(el('option', { value: '' }, all), ...known.map(option));
    control.value = value;
}

function makeForm(query) {
    const text = (value, more) => el('input', { type: 'text', value, autocomplete: 'off', spellcheck: 'false', ...more });
    const controls = {
        service: el('select', { 'data-search': true }), operation: el('select'),
        tags: text(query.tags, { placeholder: 'http.status_code=500 error=true' }),
        min: text(query.min, { placeholder: 'e.g. 100ms' }), max: text(query.max, { placeholder: 'e.g. 1.5s' }),
        lookback: select([...LOOKBACKS, ['custom', 'between two times']], query.lookback),
        start: el('input', { type: 'datetime-local', step: 1, value: query.start }),
        end: el('input', { type: 'datetime-local', step: 1, value: query.end }),
        limit: el('input', { type: 'number', min: 1, max: LIMIT_MAX, value: query.limit }),
    };
    const custom = el('div', { class: 'custom-times', hidden: query.lookback !== 'custom' },
        field('start', 'From', controls.start), field('end', 'To', controls.end));
    fill(controls.service, 'All services', [], query.service);
    fill(controls.operation, 'All operations', [], query.operation);
    controls.lookback.addEventListener('change', () => {
        const now = Date.now() * 1000;
        custom.hidden = controls.lookback.value !== 'custom';
        controls.start.value ||= usToLocal(now - 3600e6);
        controls.end.value ||= usToLocal(now);
    });
    const button = el('button', { type: 'submit', class: 'primary' }, 'Search');
    const form = el('form', { class: 'search-form', novalidate: true, 'aria-label': 'Search for traces' },
        field('service', 'Service', controls.service), field('operation', 'Operation', controls.operation),
        field('tags', 'Tags', controls.tags),
        field('min', 'Min duration', controls.min), field('max', 'Max duration', controls.max),
        field('lookback', 'Time', controls.lookback), custom, field('limit', 'Limit', controls.limit),
        el('div', { class: 'field field-go' }, button));
    return { form, controls };
}

function read(controls) {
    return Object.fromEntries(Object.entries(controls).map(([key, control]) => [key, control.value.trim()]));
}

function showProblems(controls, problems) {
    for (const [key, control] of Object.entries(controls)) {
        setText(document.getElementById(`e-${key}`), problems[key] ?? '');
        control.toggleAttribute('aria-invalid', Boolean(problems[key]));
    }
    const first = Object.keys(problems)[0];
    if (first)
        controls[first].focus();
}

async function loadOperations(controls, chosen, signal) {
    const service = controls.service.value;
    controls.operation.disabled = service === '';
    fill(controls.operation, service === '' ? 'All operations' : 'Loading…', [], chosen);
    if (service === '')
        return;
    let names = [];
    try {
        names = await getOperations(service, signal);
    } catch (error) {
        if (isAbort(error))
            return;
        setText(document.getElementById('e-operation'), error.message);
    }
    if (controls.service.value === service) /* else another was chosen meanwhile */
        fill(controls.operation, 'All operations', names, chosen);
}

async function loadServices(controls, query, signal) {
    try {
        fill(controls.service, 'All services', await getServices(signal), query.service);
    } catch (error) {
        if (!isAbort(error))
            setText(document.getElementById('e-service'), error.message);
    }
}

/* --- results --------------------------------------------------------------------------------------- */

function serviceChips(result, colors) {
    const names = [...result.services].sort((a, b) => b[1] - a[1]), more = names.length - SERVICES_SHOWN;
    const chip = ([name, spans]) => el('span', { class: 'chip' }, swatch(colors.get(name)), name, muted(format.count(spans)));
    return [names.slice(0, SERVICES_SHOWN).map(chip), more > 0 ? el('span', { class: 'chip muted' }, `+${more} more`) : null];
}

function resultRow(result, longest, colors, nowUs) {
    const bar = el('span', { class: 'result-bar', 'aria-hidden': 'true' });
    setStyle(bar, 'width', `${(100 * result.duration) / longest}%`);
    return el('li', null, el('a', { class: 'result', href: `#/trace/${encodeURIComponent(result.id)}` },
        el('span', { class: 'r-name' },
            swatch(colors.get(result.root.service)),
            el('strong', null, result.root.service), ' ', el('span', null, result.root.operation || '(no name)')),
        el('span', { class: 'r-when' }, el('span', null, format.instant(result.start)),
            muted(format.ago(result.start, nowUs))),
        el('span', { class: 'r-duration' }, format.duration(result.duration), bar),
        el('span', { class: 'r-spans' }, format.plural(result.spans, 'span')),
        el('span', { class: `r-errors ${result.errors ? 'has-errors' : 'muted'}` },
            result.errors ? errorMark() : null,
            result.errors ? format.plural(result.errors, 'error') : 'no errors'),
        el('span', { class: 'r-services' }, serviceChips(result, colors))));
}

function showResults(place, traces, problems, limit) {
    const results = traces.filter((trace) => trace.spans?.length).map(summarize);
    const notes = problems.filter(Boolean).map((text) => notice('warn', 'Incomplete.', text));
    if (!results.length) {
        place.replaceChildren(...notes, notice('quiet', 'No traces found.', 'Widen the time, or drop a condition.'));
        return;
    }
    const colors = colorsOf(results.flatMap((result) => [...result.services.keys()]));
    const longest = Math.max(1, ...results.map((result) => result.duration)), nowUs = Date.now() * 1000;
    const list = el('ol', { class: 'results' }), order = select(ORDERS, 'newest');
    const sort = () => {
        const compare = ORDERS.find(([key]) => key === order.value)[2];
        list.replaceChildren(...results.sort((a, b) => compare(a, b) || b.start - a.start)
            .map((result) => resultRow(result, longest, colors, nowUs)));
    };
    order.setAttribute('aria-label', 'Order of the results');
    order.addEventListener('change', sort);
    sort();
    place.replaceChildren(...notes, el('div', { class: 'results-head' },
        el('p', { role: 'status' }, el('strong', null, format.plural(results.length, 'trace')),
            results.length >= limit ? ' — the limit; there may be more' : ''), order), list);
}

async function run(place, params, signal) {
    place.replaceChildren(el('p', { class: 'waiting', role: 'status' }, 'Searching…'));
    try {
        const { traces, problems } = await findTraces(params, signal);
        showResults(place, traces, problems, Number(params.get('limit')));
    } catch (error) {
        if (!isAbort(error))
            place.replaceChildren(notice('bad', 'The search failed.', error.message));
    }
}

export function showSearch(main, argument, params, signal) {
    const query = queryOf(params), { form, controls } = makeForm(query);
    const place = el('section', { class: 'found', 'aria-label': 'Results' });

    form.addEventListener('submit', (event) => {
        const wanted = read(controls), { problems } = apiParams(wanted, Date.now() * 1000);
        event.preventDefault();
        showProblems(controls, problems);
        if (Object.keys(problems).length)
            return;
        const address = `#/search?${paramsOf(wanted)}`;
        if (location.hash === address) /* again, for what came in since */
            window.dispatchEvent(new HashChangeEvent('hashchange'));
        else
            location.hash = address;
    });
    controls.service.addEventListener('change', () => loadOperations(controls, '', signal));
    main.append(el('h1', { class: 'unseen' }, 'Search'), form, place);
    loadServices(controls, query, signal);
    loadOperations(controls, query.operation, signal);

    const asked = apiParams(query, Date.now() * 1000);
    showProblems(controls, asked.problems);
    if (!Object.keys(asked.problems).length)
        run(place, asked.params, signal);
}
