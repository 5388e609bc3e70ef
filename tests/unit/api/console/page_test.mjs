/* page_test.mjs - the parts of the page that know no page: trees, searches, formats, colours. Run by node --test
 * beside a copy of the page's files. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { COLORS, colorsOf } from './color.js';
import * as format from './format.js';
import { LIMIT_MAX, apiParams, paramsOf, parseTags, parseTraceId, queryOf, tagText } from './query.js';
import { isOfClass, ladderWords, reasonWords, sorted, splitName, splitRows, totalWords, triggerWords, voteWords, weightWords, whyWords } from './reason.js';
import { buildTree, selfTime, summarize, ticks } from './tree.js';

/* --- trees ----------------------------------------------------------------------------------------- */

/* rows: [id, parent or '', start, duration, error] */
function traceOf(rows) {
    return {
        traceID: 't',
        processes: { p1: { serviceName: 'one', tags: [] } },
        spans: rows.map(([spanID, parent, startTime, duration, error]) => ({
            traceID: 't', spanID, operationName: `op-${spanID}`, startTime, duration, processID: 'p1', logs: [],
            references: parent ? [{ refType: 'CHILD_OF', traceID: 't', spanID: parent }] : [],
            tags: error ? [{ key: 'error', type: 'bool', value: true }] : [],
        })),
    };
}

const shape = (tree) => tree.nodes.map((node) => `${node.span.spanID}:${node.depth}:${node.end}`).join(' ');

test('a tree is in pre-order, siblings by start, with the end of each subtree', () => {
    const tree = buildTree(traceOf([['c', 'a', 30, 5], ['d', 'b', 12, 2], ['a', '', 0, 100], ['b', 'a', 10, 10]]));
    assert.equal(shape(tree), 'a:0:4 b:1:3 d:2:3 c:1:4');
    assert.equal(tree.duration, 100);
    assert.equal(tree.depth, 3);
    assert.deepEqual(tree.nodes.map((node) => node.position), [1, 1, 1, 2]);
});

test('a span whose parent is missing is a root and says so', () => {
    const tree = buildTree(traceOf([['a', '', 0, 10], ['b', 'gone', 5, 1]]));
    assert.equal(shape(tree), 'a:0:1 b:0:2');
    assert.equal(tree.nodes[0].flaw, '');
    assert.match(tree.nodes[1].flaw, /gone/);
});

test('circles are cut, and every span is shown once', () => {
    for (const rows of [
        [['a', 'a', 0, 1]],
        [['a', 'b', 0, 1], ['b', 'a', 1, 1]],
        [['a', 'c', 0, 1], ['b', 'a', 1, 1], ['c', 'b', 2, 1], ['d', 'b', 3, 1], ['r', '', 4, 1]],
    ]) {
        const tree = buildTree(traceOf(rows)), ids = tree.nodes.map((node) => node.span.spanID);
        assert.deepEqual(ids.slice().sort(), rows.map((row) => row[0]).sort());
        assert.equal(tree.nodes.filter((node) => node.flaw.includes('circle')).length, 1);
        tree.nodes.forEach((node, i) => {
            assert.equal(node.index, i);
            assert.ok(node.end > i && node.end <= tree.nodes.length);
        });
    }
});

test('spans of one id stay apart', () => {
    const tree = buildTree(traceOf([['a', '', 0, 9], ['a', '', 1, 2], ['b', 'a', 3, 1]]));
    assert.equal(shape(tree), 'a:0:2 b:1:2 a:0:3');
});

test('a chain of 60,000 spans and a fan of 60,000 are trees like others', () => {
    const n = 60000, chain = [], fan = [['0', '', 0, n]];
    for (let i = 0; i < n; i++)
        chain.push([String(i), i ? String(i - 1) : '', i, n - i]);
    for (let i = 1; i < n; i++)
        fan.push([String(i), '0', i, 1]);
    const deep = buildTree(traceOf(chain));
    assert.equal(deep.depth, n);
    assert.equal(deep.nodes[n - 1].depth, n - 1);
    assert.equal(deep.nodes[0].end, n);
    const wide = buildTree(traceOf(fan));
    assert.equal(wide.depth, 2);
    assert.equal(wide.nodes[n - 1].position, n - 1);
});

test('errors are counted below a span, not at it', () => {
    const tree = buildTree(traceOf([['a', '', 0, 9, true], ['b', 'a', 1, 1, true], ['c', 'b', 1, 1, true], ['d', 'a', 2, 1]]));
    assert.deepEqual(tree.nodes.map((node) => node.errorsBelow), [2, 1, 0, 0]);
    assert.equal(tree.errors, 3);
});

test('CHILD_OF wins over a link, and another trace is no parent', () => {
    const trace = traceOf([['a', '', 0, 9], ['b', '', 1, 1], ['c', '', 2, 1]]);
    const reference = (refType, spanID, traceID = 't') => ({ refType, traceID, spanID });
    trace.spans[1].references = [reference('FOLLOWS_FROM', 'c'), reference('CHILD_OF', 'a')];
    trace.spans[2].references = [reference('CHILD_OF', 'a', 'other')];
    const tree = buildTree(trace);
    assert.equal(shape(tree), 'a:0:2 b:1:2 c:0:3');
    assert.equal(tree.nodes[2].flaw, '');
});

test('an empty trace and one without processes do no harm', () => {
    assert.equal(buildTree({ traceID: 't', spans: [] }).nodes.length, 0);
    const bare = traceOf([['a', '', 0, 1]]);
    delete bare.processes;
    assert.equal(buildTree(bare).nodes[0].service, 'unknown service');
});

test('time without children counts what overlaps once and only inside', () => {
    const tree = buildTree(traceOf([['a', '', 0, 100], ['b', 'a', 10, 20], ['c', 'a', 20, 20], ['d', 'a', 90, 50]]));
    assert.equal(selfTime(tree.nodes[0]), 60);
    assert.equal(selfTime(tree.nodes[1]), 20);
});

test('a summary names the earliest root', () => {
    const summary = summarize(traceOf([['x', 'gone', 5, 1], ['b', 'a', 1, 1, true], ['a', '', 2, 100]]));
    assert.equal(summary.root.operation, 'op-a');
    assert.deepEqual([summary.start, summary.duration, summary.spans, summary.errors], [1, 101, 3, 1]);
});

test('ticks are round and few', () => {
    assert.deepEqual(ticks(100, 5), [0, 20, 40, 60, 80, 100]);
    assert.deepEqual(ticks(336, 4), [0, 100, 200, 300]);
    for (const duration of [0, 1, 7, 999, 1e6, 86400e6])
        assert.ok(ticks(duration, 5).length <= 6 && ticks(duration, 5)[0] === 0, String(duration));
});

/* --- searches -------------------------------------------------------------------------------------- */

test('tags', () => {
    for (const [text, want] of [
        ['', {}],
        ['  ', {}],
        ['a=b', { a: 'b' }],
        [' a=b  c=d ', { a: 'b', c: 'd' }],
        ['a=', { a: '' }],
        ['a="x y" "k k"=v', { a: 'x y', 'k k': 'v' }],
        ['a="q\\"q\\\\"', { a: 'q"q\\' }],
        ['url=http://h/p?x=1', { url: 'http://h/p?x=1' }],
        ['a:b=c', { 'a:b': 'c' }],
    ])
        assert.deepEqual(parseTags(text), want, text);
    for (const text of ['a', '=b', 'a=b c', 'a="b', 'a="b"c', '"a=b'])
        assert.equal(typeof parseTags(text), 'string', text);
});

test('a tag that is written is read back', () => {
    for (const [key, value] of [['a', 'b'], ['a b', 'c "d" \\e'], ['k=k', ''], ['k', 'x=y'], ['k', ' ']])
        assert.deepEqual(parseTags(tagText(key, value)), { [key]: value });
});

const NOW = 1700000000e6;
const query = (change) => ({ ...queryOf(new URLSearchParams()), ...change });

test('a search as the API takes it', () => {
    const { params, problems } = apiParams(query({ service: 's', tags: 'a=b', min: '1.5s', limit: '7' }), NOW);
    assert.deepEqual(problems, {});
    assert.deepEqual(Object.fromEntries(params), {
        service: 's', tags: '{"a":"b"}', minDuration: '1.5s', start: String(NOW - 3600e6), end: String(NOW), limit: '7',
    });
});

test('limits at, below and above', () => {
    for (const [limit, isFine] of [['0', false], ['1', true], [String(LIMIT_MAX), true], [String(LIMIT_MAX + 1), false],
        ['', false], ['-1', false], ['1.5', false], ['x', false]])
        assert.equal('limit' in apiParams(query({ limit }), NOW).problems, !isFine, limit);
});

test('durations as Go writes them', () => {
    for (const text of ['', '1s', '1.5s', '1h30m', '250ms', '3µs', '3us', '.5s', '1m 30s'])
        assert.ok(!('min' in apiParams(query({ min: text }), NOW).problems), text);
    for (const text of ['5', 's', '1 x', '-1s', '1d', '1,5s'])
        assert.ok('min' in apiParams(query({ min: text }), NOW).problems, text);
});

test('custom times need both ends in order', () => {
    const custom = (start, end) => Object.keys(apiParams(query({ lookback: 'custom', start, end }), NOW).problems);
    assert.deepEqual(custom('2026-01-01T00:00:00', '2026-01-02T00:00:00'), []);
    assert.deepEqual(custom('', '2026-01-02T00:00:00'), ['start']);
    assert.deepEqual(custom('2026-01-01T00:00:00', 'x'), ['end']);
    assert.deepEqual(custom('2026-01-02T00:00:00', '2026-01-01T00:00:00'), ['end']);
});

test('the address keeps what differs from the defaults, and gives it back', () => {
    assert.equal(String(paramsOf(query({}))), '');
    const wanted = query({ service: 'a&b', tags: 'x="y z"', lookback: '2d' });
    assert.deepEqual(queryOf(paramsOf(wanted)), wanted);
});

test('trace ids', () => {
    const id = '4bf92f3577b34da6a3ce929d0e0e4736';
    for (const [text, want] of [
        ['abc', 'abc'], ['ABC', 'abc'], [` ${id} `, id], [`0x${id}`, id], [`00-${id}-00f067aa0ba902b7-01`, id],
        ['4bf92f35-77b3-4da6-a3ce-929d0e0e4736', id],
        ['', null], ['xyz', null], [`${id}0`, null], ['a/b', null], ['a b', null],
    ])
        assert.equal(parseTraceId(text), want, text);
});

/* --- sampling -------------------------------------------------------------------------------------- */

test('every decision is a sentence', () => {
    for (const [answer, want] of [
        [{ decision: 'kept', reason: 'policy', policy: 'errors', probability: 1 }, 'Kept by the policy “errors”.'],
        [{ decision: 'kept', reason: 'policy', policy: 'a tenth', probability: 0.1 },
            'Kept by the policy “a tenth”. At 10 %: it stands for about 10 traces.'],
        [{ decision: 'kept', reason: 'policy', policy: '', probability: 1 }, 'Kept by a policy whose name is not known any more.'],
        [{ decision: 'kept', reason: 'no_rules', policy: '', probability: 1 }, 'Kept: no sampling policy is configured.'],
        [{ decision: 'kept', reason: 'class', policy: 'health', probability: 0.001 },
            'Kept at the rate of the class “health”. At 0.1 %: it stands for about 1,000 traces.'],
        [{ decision: 'kept', reason: 'class_error', policy: 'health', probability: 1 }, 'Kept: it holds an error, inside the class “health”.'],
        [{ decision: 'kept', reason: 'floor_error', probability: 1 }, 'Kept by the floor: it holds an error.'],
        [{ decision: 'kept', reason: 'floor_slow', probability: 1 }, 'Kept by the floor: it was among the slowest of its operation.'],
        [{ decision: 'kept', reason: 'floor_new', probability: 1 }, 'Kept by the floor: it was the first of a new operation.'],
        [{ decision: 'kept', reason: '', policy: '', probability: 1, rules: 0 }, 'Kept: sampling was off.'],
        [{ decision: 'dropped', reason: 'no_policy', policy: '', probability: 0 }, 'Dropped: no policy sampled it.'],
        [{ decision: 'dropped', reason: 'drop', policy: 'noise', probability: 0 }, 'Dropped by the drop policy “noise”.'],
        [{ decision: 'dropped', reason: 'inverted', policy: 'p', probability: 0 }, 'Dropped: an inverted condition of the policy “p” matched.'],
        [{ decision: 'dropped', reason: 'class', policy: 'health', probability: 0.1 }, 'Dropped at the rate of the class “health”.'],
        [{ decision: 'dropped', reason: 'overload', probability: 0.25 },
            'Dropped: more came than could be kept, so traces were thinned out.'],
        [{ decision: 'pending', reason: '', probability: null }, 'Not decided yet: the trace waits for more of its spans.'],
        [{ decision: 'unknown', reason: '', probability: null }, 'Nothing is known of this trace.'],
    ])
        assert.equal(whyWords(answer), want);
});

test('a name is of a class or of a policy', () => {
    for (const [reason, want] of [['class', true], ['class_error', true], ['policy', false], ['drop', false], ['inverted', false], ['', false],
        ['classic', false], [undefined, false]])
        assert.equal(isOfClass(reason), want, String(reason));
});

test('the total of head sampling', () => {
    const row = (samples, probability, is_followed) => ({ samples_per_second: samples, probability, is_followed });
    for (const [rows, want] of [
        [[], ''],
        [[row(null, 0.1, false), row(undefined, 1, false), row('NaN', 1, true)], ''],
        [[row(0, 1, false)], 'Over all: 0 samples/s.'],
        [[row(2, 1, true), row(1, 0.01, true)], 'Over all: 3 samples/s, of about 102 root spans/s.'],
        [[row(2, 0.5, false), row(null, 0.5, true)], 'Over all: 2 samples/s, of about 2 root spans/s.'],
        [[row(0.02, 0.00012, true)], 'Over all: 0.02 samples/s, of about 167 root spans/s.'],
        [[row(3, 0, true)], 'Over all: 3 samples/s, of about 3 root spans/s.'], /* what came in spite of it */
        [[row(3, null, true)], 'Over all: 3 samples/s, of about 3 root spans/s.'],
    ])
        assert.equal(totalWords(rows), want);
});

test('words of a later version, and what looks like code, are only words', () => {
    assert.equal(reasonWords({ decision: 'kept', reason: 'moon_phase' }), 'Kept for the reason “moon_phase”.');
    assert.equal(reasonWords({ decision: 'dropped', reason: 'constructor' }), 'Dropped for the reason “constructor”.');
    assert.equal(reasonWords({ decision: 'dropped' }), 'Dropped.');
    assert.equal(triggerWords('__proto__'), '__proto__');
    assert.equal(triggerWords(undefined), '');
    assert.equal(voteWords('perhaps'), 'perhaps');
    assert.equal(voteWords(undefined), '');
    assert.equal(splitName('<later>').words, 'later');
    assert.deepEqual(ladderWords('ceiling'), ['warn', 'Overload: ceiling.']);
});

test('only what was drawn at a chance has a weight', () => {
    for (const probability of [undefined, null, NaN, 0, 1, 2, -1])
        assert.equal(weightWords({ decision: 'kept', probability }), '', String(probability));
    assert.equal(weightWords({ decision: 'dropped', probability: 0.5 }), '');
    assert.equal(weightWords({ decision: 'kept', probability: 0.4 }), 'At 40 %: it stands for about 2.5 traces.');
    assert.equal(weightWords({ decision: 'kept', probability: 0.9999 }), '');
});

test('triggers, votes, the ladder', () => {
    for (const trigger of ['root', 'deadline', 'early', 'late', 'first_match'])
        assert.notEqual(triggerWords(trigger), trigger);
    assert.deepEqual(['not_asked', 'no', 'yes', 'drop'].map(voteWords), ['not asked', 'no', 'yes', 'drop']);
    assert.deepEqual(['none', 'head', 'tail', 'refuse'].map((step) => ladderWords(step)[0]), ['good', 'warn', 'warn', 'bad']);
    for (const none of [undefined, null, 3, {}])
        assert.equal(ladderWords(none), null);
});

test('the ledger by policy, most spans first', () => {
    assert.equal(splitRows({ accepted: 1 }), null); /* no split at all: an older collector */
    assert.deepEqual(splitRows({ kept_by_policy: {}, sampled_out_by_policy: {} }), []);
    assert.deepEqual(splitRows({ kept_by_policy: { a: 1, '<none>': 7 }, sampled_out_by_policy: { b: 3, a: 2 } }), [
        { name: '<none>', kept: 7, out: 0 }, { name: 'a', kept: 1, out: 2 }, { name: 'b', kept: 0, out: 3 },
    ]);
    assert.deepEqual(splitRows({ kept_by_policy: { constructor: 2 } }), [{ name: 'constructor', kept: 2, out: 0 }]);
    assert.deepEqual(splitName('a<b>'), { name: 'a<b>' });
    assert.deepEqual(splitName(''), { name: '' });
    assert.equal(splitName('<none>').name, null);
    assert.match(splitName('<no_rules>').words, /no policy/);
});

test('tables sort by text, number and truth, and stay in order where they are equal', () => {
    const rows = [{ s: 'b', n: 2, t: true }, { s: 'a10', n: 2, t: false }, { s: 'a9', n: 10 }];
    const order = (key, isDescending) => sorted(rows, key, isDescending).map((row) => row.s).join(' ');
    assert.equal(order('s', false), 'a9 a10 b');
    assert.equal(order('s', true), 'b a10 a9');
    assert.equal(order('n', false), 'b a10 a9');
    assert.equal(order('n', true), 'a9 b a10');
    assert.equal(order('t', true), 'b a10 a9');
    assert.equal(order('none', false), 'b a10 a9');
    assert.equal(rows[0].s, 'b'); /* a copy */
});

/* --- formats and colours --------------------------------------------------------------------------- */

test('durations for people', () => {
    for (const [us, want] of [
        [0, '0 µs'], [1, '1 µs'], [999, '999 µs'], [1000, '1 ms'], [1234, '1.23 ms'], [999499, '999 ms'], [999500, '1 s'],
        [1.5e6, '1.5 s'], [59.94e6, '59.9 s'], [60e6, '1 min 0 s'], [3599.4e6, '59 min 59 s'], [3599.6e6, '1 h 0 min'], [3600e6, '1 h 0 min'],
        [-1500, '−1.5 ms'], [NaN, '–'], [undefined, '–'],
    ])
        assert.equal(format.duration(us), want, String(us));
});

test('sizes, shares, counts', () => {
    assert.deepEqual([0, 1023, 1024, 1536, 2 ** 30, NaN].map(format.bytes), ['0 B', '1023 B', '1 KiB', '1.5 KiB', '1 GiB', '–']);
    assert.equal(format.percent(0, 0), '0 %');
    assert.equal(format.percent(1, 100000), '< 0.1 %');
    assert.equal(format.percent(1, 3), '33 %');
    assert.equal(format.percent(99999, 100000), '99.9 %');
    assert.equal(format.percent(3, 3), '100 %');
    for (const [p, text] of [[0, '0 %'], [1, '100 %'], [0.5, '50 %'], [0.05, '5 %'], [0.00012, '0.012 %'], [0.000031, '0.0031 %'],
        [0.0000314159, '0.00314 %'], [1e-9, '0.0000001 %'], [0.9999, '99.9 %'], [0.99998, '99.9 %'], [1 / 3, '33.3 %'], [0.07, '7 %'],
        [NaN, '–'], [null, '–'], [undefined, '–'], ['0.5', '–']])
        assert.equal(format.probability(p), text, String(p));
    assert.equal(format.plural(1, 'span'), '1 span');
    assert.equal(format.plural(1234, 'span'), '1,234 spans');
    assert.equal(format.instantOfText(''), '');
});

test('services have colours of their own as long as there are enough', () => {
    const names = Array.from({ length: COLORS }, (_, i) => `service-${i}`);
    assert.equal(new Set(colorsOf(names).values()).size, COLORS);
    assert.equal(colorsOf([...names, 'one-more']).size, COLORS + 1);
    assert.equal(colorsOf(['a', 'b']).get('a'), colorsOf(['a']).get('a'));
});
