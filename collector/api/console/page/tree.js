/* tree.js - a trace of the API as a tree in display order. No page in here.
 *
 * nodes[] is the tree in pre-order, each node with its depth and the index behind its subtree, so a collapsed
 * subtree is skipped in one step and nothing recurses: a chain of 60,000 spans is legal. Input is not
 * trusted to be a tree: a span whose parent is missing becomes a root, and so does one span of every circle. */

function parentOf(span) {
    let follows = null;
    for (const reference of span.references ?? []) {
        if (reference.traceID !== span.traceID)
            continue;
        if (reference.refType === 'CHILD_OF')
            return reference.spanID;
        follows ??= reference.spanID;
    }
    return follows;
}

export function hasError(span) {
    return (span.tags ?? []).some((tag) => (tag.key === 'error' && String(tag.value) === 'true')
        || (tag.key === 'otel.status_code' && tag.value === 'ERROR'));
}

function makeNodes(trace) {
    return (trace.spans ?? []).map((span) => ({
        span,
        service: trace.processes?.[span.processID]?.serviceName ?? 'unknown service',
        start: span.startTime,
        stop: span.startTime + span.duration,
        isError: hasError(span),
        parent: null, children: [], depth: 0, position: 1,
        index: -1, end: 0, errorsBelow: 0, flaw: '',
    })).sort((a, b) => a.start - b.start || b.stop - a.stop);
}

function link(nodes) {
    const byId = new Map(), roots = [];
    for (const node of nodes)
        if (!byId.has(node.span.spanID))
            byId.set(node.span.spanID, node);
    for (const node of nodes) {
        const id = parentOf(node.span);
        node.parent = id === null ? null : byId.get(id) ?? null;
        if (node.parent)
            node.parent.children.push(node);
        else
            roots.push(node);
        if (id !== null && !node.parent)
            node.flaw = `The parent span ${id} is not in this trace.`;
    }
    return roots;
}

function walk(roots, order) {
    const stack = roots.slice().reverse();
    while (stack.length) {
        const node = stack.pop();
        node.index = order.length;
        order.push(node);
        /* Only a circle comes back to a span that has its place. */
        node.children = node.children.filter((child) => child.index < 0);
        node.children.forEach((child, i) => {
            child.depth = node.depth + 1;
            child.position = i + 1;
        });
        for (let i = node.children.length - 1; i >= 0; i--)
            stack.push(node.children[i]);
    }
}

function cutCircle(node, roots, order) {
    node.parent = null;
    node.flaw = 'The parents of this span form a circle.';
    roots.push(node);
    walk([node], order);
}

/* From the last node to the first, so that children are done before their parent. */
function sum(order) {
    for (let i = order.length - 1; i >= 0; i--) {
        const node = order[i];
        node.end = Math.max(node.end, i + 1);
        if (node.parent) {
            node.parent.end = Math.max(node.parent.end, node.end);
            node.parent.errorsBelow += node.errorsBelow + (node.isError ? 1 : 0);
        }
    }
}

function servicesOf(nodes) {
    const services = new Map();
    for (const node of nodes) {
        const entry = services.get(node.service) ?? { spans: 0, errors: 0 };
        entry.spans++;
        entry.errors += node.isError ? 1 : 0;
        services.set(node.service, entry);
    }
    return services;
}

export function buildTree(trace) {
    const sorted = makeNodes(trace), roots = link(sorted), nodes = [];
    walk(roots, nodes);
    for (const node of sorted)
        if (node.index < 0)
            cutCircle(node, roots, nodes);
    roots.forEach((root, i) => { root.position = i + 1; });
    sum(nodes);

    let start = Infinity, stop = -Infinity, depth = 0, errors = 0;
    for (const node of nodes) {
        start = Math.min(start, node.start);
        stop = Math.max(stop, node.stop);
        depth = Math.max(depth, node.depth + 1);
        errors += node.isError ? 1 : 0;
    }
    return {
        id: trace.traceID, nodes, roots, start, stop, duration: stop - start, depth, errors,
        services: servicesOf(nodes), processes: trace.processes ?? {}, warnings: trace.warnings ?? [],
    };
}

/* Time of a span in which none of its children ran. */
export function selfTime(node) {
    let busy = 0, reached = node.start;
    for (const child of node.children.slice().sort((a, b) => a.start - b.start)) {
        const from = Math.max(child.start, reached), to = Math.min(child.stop, node.stop);
        if (to > from) {
            busy += to - from;
            reached = to;
        }
    }
    return node.stop - node.start - busy;
}

/* What a list of results shows of a trace, without building its tree. */
export function summarize(trace) {
    const ids = new Set(trace.spans.map((span) => span.spanID)), services = new Map();
    let root = null, start = Infinity, stop = -Infinity, errors = 0;
    for (const span of trace.spans) {
        const name = trace.processes?.[span.processID]?.serviceName ?? 'unknown service';
        const parent = parentOf(span), isRoot = parent === null || !ids.has(parent);
        services.set(name, (services.get(name) ?? 0) + 1);
        errors += hasError(span) ? 1 : 0;
        start = Math.min(start, span.startTime);
        stop = Math.max(stop, span.startTime + span.duration);
        const isBetter = !root || (isRoot && !root.isRoot)
            || (isRoot === root.isRoot && span.startTime < root.start);
        if (isBetter)
            root = { isRoot, start: span.startTime, service: name, operation: span.operationName };
    }
    return { id: trace.traceID, root, start, duration: stop - start, spans: trace.spans.length, services, errors };
}

/* Instants at 1, 2 or 5 times a power of ten, at most `most` steps over the duration. */
export function ticks(duration, most) {
    const rough = Math.max(duration, 1) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
    const at = [];
    for (let i = 0; i * step <= duration; i++)
        at.push(i * step);
    return at;
}
