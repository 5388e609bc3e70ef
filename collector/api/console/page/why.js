/* why.js - the answer to "why was this trace kept?" as elements: a sentence, and the facts behind it. */
import { el, muted, pairs } from './dom.js';
import * as format from './format.js';
import { isOfClass, reasonWords, triggerWords, voteWords, whyWords } from './reason.js';

const MARKS = { kept: ['good', '✓'], dropped: ['bad', '×'], pending: ['warn', '…'], unknown: ['quiet', '?'] };

function probabilityOf({ probability, estimate }) {
    if (!Number.isFinite(probability))
        return '–';
    return `${format.probability(probability)}${estimate ? ' (measured)' : ''}`;
}

/* RFC 3339 from the API; nothing when it was not told. */
function timeOf({ time }) {
    return typeof time === 'string' ? format.instantOfText(time) || '–' : '–';
}

function factsOf(answer) {
    const facts = [
        ['Decision', answer.decision],
        ['Reason', answer.reason ? el('code', null, answer.reason) : '–'],
        [isOfClass(answer.reason) ? 'Class' : 'Policy', answer.policy || '–'],
        ['Probability', probabilityOf(answer)],
        ['Rules', answer.rules > 0 ? `generation ${format.count(answer.rules)}` : '–'],
        ['Time', timeOf(answer)],
    ];
    if (answer.trigger)
        facts.push(['Decided when', triggerWords(answer.trigger)]);
    if (answer.waiting)
        facts.push(['Late spans', 'some wait to follow it']);
    return pairs('why-facts', facts);
}

function table(className, caption, columns, rows) {
    return el('table', { class: `grid ${className}` }, el('caption', null, caption),
        el('thead', null, el('tr', null, columns.map((name) => el('th', { scope: 'col' }, name)))),
        el('tbody', null, rows.map((cells) => el('tr', null, cells.map((cell) => el('td', null, cell))))));
}

function votes(answer) {
    const list = Array.isArray(answer.votes) ? answer.votes : [];
    return list.length ? table('votes', 'What each policy said', ['Policy', 'Vote'], list.map(({ policy, vote }) =>
        [policy || muted('name not known any more'), el('span', { class: `vote vote-${voteWords(vote).replace(' ', '-')}` }, voteWords(vote))]))
        : null;
}

/* The answer itself tells one of them. */
function decisions(answer) {
    const list = Array.isArray(answer.decisions) ? answer.decisions : [];
    return list.length > 1 ? table('decisions', answer.more ? 'The newest decisions; there are older ones' : 'All decisions, newest first', ['Time', 'Decision', 'When'], list.map((each) =>
        [timeOf(each), reasonWords(each), triggerWords(each.trigger)])) : null;
}

/* What is behind the sentence; of what is not decided there are no facts. */
function behind(answer) {
    const isDecided = answer.decision === 'kept' || answer.decision === 'dropped';
    return [isDecided ? [factsOf(answer), votes(answer)] : null, decisions(answer)];
}

function mark(answer) {
    const [kind, sign] = MARKS[answer.decision] ?? MARKS.unknown;
    return el('span', { class: `why-mark ${kind}`, 'aria-hidden': 'true' }, sign);
}

/* A line that opens. */
export function whyLine(answer) {
    return el('details', { class: 'why' },
        el('summary', null, mark(answer), el('span', { class: 'why-words' }, whyWords(answer))),
        behind(answer));
}

/* A page of its own, for a trace of which there is nothing else to show. */
export function whyPage(id, answer) {
    return el('section', { class: 'why-page card', 'aria-labelledby': 'why-title' },
        el('h1', { id: 'why-title' }, 'Trace ', el('code', null, id)),
        el('p', { class: 'why-answer', role: 'status' }, mark(answer), el('strong', null, whyWords(answer))),
        answer.decision === 'dropped' ? el('p', { class: 'muted' }, 'Its spans were counted and not stored.') : null,
        behind(answer));
}
