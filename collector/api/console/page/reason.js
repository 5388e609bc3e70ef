/* reason.js - decisions of sampling in words: the answer of /api/meshglass/v1/why, the ledger by policy, the ladder of
 * overload. No page in here. */
import { adjusted, probability as probabilityWords, rate } from './format.js';

const named = (what, policy) => (policy ? `the ${what} “${policy}”` : `a ${what} whose name is not known any more`);

/* What follows "Kept" or "Dropped". */
const REASONS = {
    no_rules: () => ': no sampling policy is configured.',
    policy: (policy) => ` by ${named('policy', policy)}.`,
    no_policy: () => ': no policy sampled it.',
    drop: (policy) => ` by ${named('drop policy', policy)}.`,
    inverted: (policy) => `: an inverted condition of ${named('policy', policy)} matched.`,
    class: (policy) => ` at the rate of ${named('class', policy)}.`,
    class_error: (policy) => `: it holds an error, inside ${named('class', policy)}.`,
    floor_error: () => ' by the floor: it holds an error.',
    floor_slow: () => ' by the floor: it was among the slowest of its operation.',
    floor_new: () => ' by the floor: it was the first of a new operation.',
    overload: () => ': more came than could be kept, so traces were thinned out.',
};
const TRIGGERS = {
    root: 'its root span had come',
    deadline: 'the time to wait for it was over',
    early: 'it was too large, or memory was short',
    late: 'late spans came, which follow the decision before',
    first_match: 'a policy matched',
};
const VOTES = { not_asked: 'not asked', no: 'no', yes: 'yes', drop: 'drop' };
const LADDER = {
    none: ['good', 'No overload: nothing is given up.'],
    head: ['warn', 'Overload, step 1: clients are told to sample less.'],
    tail: ['warn', 'Overload, step 2: traces are thinned out by their ID.'],
    refuse: ['bad', 'Overload, step 3: memory is full, and doors refuse what finds no room.'],
};

/* Whether the name that comes with the reason is a class, not a policy. */
export function isOfClass(reason) {
    return reason === 'class' || reason === 'class_error';
}

/* A word of a later version is shown as it is. */
export function reasonWords(decision) {
    const verb = decision.decision === 'dropped' ? 'Dropped' : 'Kept', { reason } = decision;
    if (!reason)
        return `${verb}${verb === 'Kept' ? ': sampling was off' : ''}.`;
    return verb + (Object.hasOwn(REASONS, reason) ? REASONS[reason](decision.policy) : ` for the reason “${reason}”.`);
}

/* How many traces a kept one stands for; nothing when it stands for itself. */
export function weightWords({ decision, probability }) {
    const weight = adjusted(1 / probability);
    if (decision === 'dropped' || !(probability > 0 && probability < 1) || weight === '1')
        return '';
    return `At ${probabilityWords(probability)}: it stands for about ${weight} traces.`;
}

export function whyWords(answer) {
    if (answer.decision === 'pending')
        return 'Not decided yet: the trace waits for more of its spans.';
    if (answer.decision === 'unknown')
        return 'Nothing is known of this trace.';
    return [reasonWords(answer), weightWords(answer)].filter(Boolean).join(' ');
}

export function triggerWords(trigger) {
    return Object.hasOwn(TRIGGERS, trigger) ? TRIGGERS[trigger] : trigger || '';
}

export function voteWords(vote) {
    return Object.hasOwn(VOTES, vote) ? VOTES[vote] : String(vote ?? '');
}

/* [kind, words], or null when the status tells no step. */
export function ladderWords(step) {
    if (typeof step !== 'string')
        return null;
    return Object.hasOwn(LADDER, step) ? LADDER[step] : ['warn', `Overload: ${step}.`];
}

/* --- tables ---------------------------------------------------------------------------------------- */

const UNNAMED = {
    none: 'kept without sampling', no_rules: 'kept: no policy is configured', no_policy: 'dropped: no policy sampled it',
    floor_error: 'floor: errors', floor_slow: 'floor: slowest', floor_new: 'floor: new operations', overload: 'dropped: overload',
};

/* Where no name decided, the ledger has the reason in angle brackets; such a name is null here, with words instead. */
export function splitName(name) {
    const reason = /^<(.*)>$/.exec(name)?.[1];
    if (reason === undefined)
        return { name };
    return { name: null, words: Object.hasOwn(UNNAMED, reason) ? UNNAMED[reason] : reason };
}

/* The ledger's two splits as rows, most spans first. No split at all: null. */
export function splitRows({ kept_by_policy: kept, sampled_out_by_policy: out }) {
    if (!kept && !out)
        return null;
    const names = new Set([...Object.keys(kept ?? {}), ...Object.keys(out ?? {})]);
    const of = (split, name) => (split && Object.hasOwn(split, name) ? split[name] : 0);
    return [...names].map((name) => ({ name, kept: of(kept, name), out: of(out, name) }))
        .sort((a, b) => b.kept + b.out - a.kept - a.out || (a.name < b.name ? -1 : 1));
}

/* Over all rows of the table of head sampling. Where clients follow what they are told, each sample stands for 1 / probability roots;
 * the probability may have changed since the samples were counted, so this is about what services begin. Rows that nothing was counted
 * for add nothing. */
export function totalWords(rows) {
    const counted = rows.filter((row) => Number.isFinite(row.samples_per_second));
    const sum = (of) => counted.reduce((all, row) => all + of(row), 0), samples = sum((row) => row.samples_per_second);
    const roots = sum((row) => row.samples_per_second / (row.is_followed && row.probability > 0 ? row.probability : 1));
    if (!counted.length)
        return '';
    return `Over all: ${rate(samples)} samples/s${samples > 0 ? `, of about ${rate(roots)} root spans/s` : ''}.`;
}

function compare(a, b) {
    if (typeof a === 'string' || typeof b === 'string')
        return String(a ?? '').localeCompare(String(b ?? ''), 'en', { numeric: true });
    return Number(a ?? 0) - Number(b ?? 0);
}

/* A copy, sorted by a column; rows that are equal there keep their order. */
export function sorted(rows, key, isDescending) {
    return rows.slice().sort((a, b) => (isDescending ? compare(b[key], a[key]) : compare(a[key], b[key])));
}
