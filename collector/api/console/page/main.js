/* main.js - which view is shown. The address after '#' is the whole state: #/overview, #/search?…,
 * #/sampling, #/trace/ID.
 *
 * A view is a function (main, argument, params, signal) that fills main; what it started ends with the signal,
 * which fires when another view takes its place. */
import { isTyping, setText } from './dom.js';
import { showOverview } from './overview.js';
import { parseTraceId } from './query.js';
import { showSampling } from './sampling.js';
import { showSearch } from './search.js';
import { showTrace } from './trace.js';

const VIEWS = { overview: showOverview, sampling: showSampling, search: showSearch, trace: showTrace };
const main = document.getElementById('main');
let running = null;

function route() {
    const [path, query] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
    const [name, ...rest] = path.split('/');
    let argument = rest.join('/');
    try {
        argument = decodeURIComponent(argument);
    } catch {
        argument = '';
    }
    return { name: Object.hasOwn(VIEWS, name) ? name : 'overview', argument, params: new URLSearchParams(query ?? '') };
}

function show() {
    const { name, argument, params } = route();
    running?.abort();
    running = new AbortController();
    for (const link of document.querySelectorAll('nav [data-view]')) {
        if (link.dataset.view === name)
            link.setAttribute('aria-current', 'page');
        else
            link.removeAttribute('aria-current');
    }
    main.className = `view-${name}`;
    main.replaceChildren();
    window.scrollTo(0, 0);
    document.title = `${name[0].toUpperCase()}${name.slice(1)} · Meshglass`;
    VIEWS[name](main, argument, params, running.signal);
}

function openTrace(event) {
    const input = document.getElementById('open-trace-id');
    const problem = document.getElementById('open-trace-error');
    const id = parseTraceId(input.value);
    event.preventDefault();
    setText(problem, id ? '' : 'A trace ID is 1 to 32 hexadecimal digits.');
    input.toggleAttribute('aria-invalid', !id);
    if (!id)
        return;
    input.value = '';
    input.blur();
    location.hash = `#/trace/${id}`;
}

/* '/' goes to the search field of the view, or to the search view. */
function onKey(event) {
    if (event.key === 'Escape' && isTyping(event.target))
        event.target.blur();
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
        return;
    event.preventDefault();
    const field = main.querySelector('[data-search]');
    if (field)
        field.focus();
    else
        location.hash = '#/search';
}

document.getElementById('open-trace').addEventListener('submit', openTrace);
document.getElementById('open-trace-id').addEventListener('input', (event) => {
    setText(document.getElementById('open-trace-error'), '');
    event.target.removeAttribute('aria-invalid');
});
document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
});
document.addEventListener('keydown', onKey);
window.addEventListener('hashchange', show);
show();
