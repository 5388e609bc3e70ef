/* waterfall.js - the tree of spans with their bars, for traces of any size.
 *
 * All rows have one height. A sizer as tall as all visible rows makes the scroll bar right, and only the rows
 * in sight (and some beyond) exist as elements; a scroll step adds and removes what changed. Folding rebuilds the
 * list of visible rows, which is one pass. The focus stays on the tree; aria-activedescendant names the row, so
 * removing rows never loses it. */
import { el, errorMark, isTyping, setStyle, swatch } from './dom.js';
import * as format from './format.js';
import { ticks } from './tree.js';

const ROW_PX = 26, ROW_NARROW_PX = 42, BEYOND = 12, INDENT_MAX = 24, EVENT_MARKS = 24;
const NARROW = '(max-width: 700px)';
const NAME_MIN = 15, NAME_MAX = 70; /* percent of the width that the names take */

function share(part, all) {
    return all > 0 ? Math.min(100, Math.max(0, (100 * part) / all)) : 0;
}

export class Waterfall {
    /* hooks: onOpen(node), onSelect(node). */
    constructor(tree, colors, hooks, signal) {
        this.tree = tree;
        this.colors = colors;
        this.hooks = hooks;
        this.signal = signal;
        this.collapsed = new Set();
        this.marked = new Set();
        this.rows = [];          /* visible nodes in order */
        this.elements = new Map(); /* place in rows -> element */
        this.selected = 0;       /* place in rows */
        this.namePercent = 36;
        this.narrow = matchMedia(NARROW);
        this.build();
    }

    build() {
        this.sizer = el('div', { class: 'rows', role: 'presentation' });
        this.scroller = el('div', {
            class: 'scroller', role: 'tree', tabindex: 0, 'aria-label': 'Spans of the trace',
        }, this.sizer);
        this.axis = el('div', { class: 'axis-lane', 'aria-hidden': 'true' });
        this.lines = el('div', { class: 'axis-lines', 'aria-hidden': 'true' });
        this.splitter = el('div', {
            class: 'splitter', role: 'separator', tabindex: 0, 'aria-label': 'Width of the names',
            'aria-orientation': 'vertical', 'aria-valuemin': NAME_MIN, 'aria-valuemax': NAME_MAX,
        });
        this.element = el('div', { class: 'waterfall' },
            el('div', { class: 'axis-row' }, el('div', { class: 'axis-name' }, 'Service and operation'), this.axis),
            this.lines, this.scroller, this.splitter);
    }

    /* After the element is in the page. */
    start() {
        const { signal } = this;
        this.scroller.addEventListener('scroll', () => this.draw(), { signal, passive: true });
        this.scroller.addEventListener('keydown', (event) => this.onKey(event), { signal });
        this.scroller.addEventListener('click', (event) => this.onClick(event), { signal });
        this.splitter.addEventListener('pointerdown', (event) => this.onGrab(event), { signal });
        this.splitter.addEventListener('keydown', (event) => this.onSplitterKey(event), { signal });
        this.resize = new ResizeObserver(() => this.layOut());
        this.resize.observe(this.scroller);
        signal.addEventListener('abort', () => this.resize.disconnect());
        this.setNameWidth(this.namePercent);
        this.rebuild();
        this.layOut();
    }

    /* --- layout ------------------------------------------------------------------------------------ */

    layOut() {
        const height = this.narrow.matches ? ROW_NARROW_PX : ROW_PX;
        /* The scroll bar takes from the lanes, so the axis must leave the same space. */
        setStyle(this.element, '--bar-width', `${this.scroller.offsetWidth - this.scroller.clientWidth}px`);
        if (height !== this.rowHeight) {
            this.rowHeight = height;
            setStyle(this.element, '--row', `${height}px`);
            this.clear();
        }
        setStyle(this.sizer, 'height', `${this.rows.length * height}px`);
        this.drawAxis();
        this.draw();
    }

    drawAxis() {
        const at = ticks(this.tree.duration, Math.max(2, Math.floor(this.axis.clientWidth / 80)));
        const place = (node, us) => setStyle(node, 'left', `${share(us, this.tree.duration)}%`);
        this.axis.replaceChildren(...at.filter((us) => share(us, this.tree.duration) < 94)
            .map((us) => place(el('span', { class: 'tick' }, us === 0 ? '0' : format.duration(us)), us)));
        this.lines.replaceChildren(...at.map((us) => place(el('i'), us)));
    }

    setNameWidth(percent) {
        this.namePercent = Math.min(NAME_MAX, Math.max(NAME_MIN, percent));
        setStyle(this.element, '--name', `${this.namePercent}%`);
        setStyle(this.element, '--name-share', String(this.namePercent / 100)); /* calc() multiplies numbers only */
        this.splitter.setAttribute('aria-valuenow', String(Math.round(this.namePercent)));
        this.drawAxis();
    }

    onGrab(event) {
        const move = (at) => {
            const box = this.element.getBoundingClientRect();
            this.setNameWidth((100 * (at.clientX - box.left)) / box.width);
        };
        const stop = new AbortController();
        event.preventDefault();
        this.splitter.setPointerCapture(event.pointerId);
        this.splitter.addEventListener('pointermove', move, { signal: stop.signal });
        for (const name of ['pointerup', 'pointercancel'])
            this.splitter.addEventListener(name, () => stop.abort(), { signal: stop.signal });
    }

    onSplitterKey(event) {
        const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
        if (step) {
            event.preventDefault();
            this.setNameWidth(this.namePercent + step);
        }
    }

    /* --- rows -------------------------------------------------------------------------------------- */

    rebuild() {
        const { nodes } = this.tree, kept = this.rows[this.selected];
        this.rows = [];
        for (let i = 0; i < nodes.length; i = this.collapsed.has(nodes[i]) ? nodes[i].end : i + 1)
            this.rows.push(nodes[i]);
        this.selected = Math.max(0, kept ? this.placeOf(kept) : 0);
        this.clear();
        setStyle(this.sizer, 'height', `${this.rows.length * (this.rowHeight ?? ROW_PX)}px`);
    }

    /* Place in rows of the node or, when it is folded away, of its nearest row above. */
    placeOf(node) {
        let low = 0, high = this.rows.length - 1;
        while (low < high) {
            const middle = (low + high + 1) >> 1;
            if (this.rows[middle].index <= node.index)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    clear() {
        this.elements.clear();
        this.sizer.replaceChildren();
    }

    draw() {
        const { rowHeight, scroller } = this;
        if (!rowHeight)
            return;
        const first = Math.max(0, Math.floor(scroller.scrollTop / rowHeight) - BEYOND);
        const bottom = scroller.scrollTop + scroller.clientHeight;
        const last = Math.min(this.rows.length, Math.ceil(bottom / rowHeight) + BEYOND);
        for (const [place, row] of this.elements)
            if (place < first || place >= last) {
                row.remove();
                this.elements.delete(place);
            }
        for (let place = first; place < last; place++)
            if (!this.elements.has(place)) {
                const row = setStyle(this.makeRow(this.rows[place], place), 'top', `${place * rowHeight}px`);
                this.elements.set(place, row);
                this.sizer.append(row);
            }
        this.showSelected();
    }

    makeName(node) {
        const isFolded = this.collapsed.has(node), hidden = node.end - node.index - 1;
        const fold = node.children.length ? (isFolded ? 'folded' : 'open') : '';
        const name = el('div', { class: 'name' }, el('span', { class: 'indent' }),
            el('span', { class: `toggle ${fold}`, 'aria-hidden': 'true' }),
            swatch(this.colors.get(node.service)),
            node.isError ? errorMark('error') : null,
            el('span', { class: 'service' }, node.service),
            el('span', { class: 'operation' }, node.span.operationName || '(no name)'),
            isFolded ? el('span', { class: 'hidden-count' }, `+${format.count(hidden)}`) : null,
            isFolded && node.errorsBelow
                ? el('span', { class: 'hidden-errors' }, `! ${format.count(node.errorsBelow)}`) : null);
        return setStyle(name, '--depth', String(Math.min(node.depth, INDENT_MAX)));
    }

    makeRow(node, place) {
        const row = el('div', {
            class: 'row', id: `row-${node.index}`, 'data-place': place, title: node.flaw || null,
            role: 'treeitem', 'aria-level': node.depth + 1, 'aria-posinset': node.position,
            'aria-setsize': node.parent ? node.parent.children.length : this.tree.roots.length,
            'aria-expanded': node.children.length ? String(!this.collapsed.has(node)) : null,
        }, this.makeName(node), this.makeLane(node));
        row.classList.toggle('is-error', node.isError);
        row.classList.toggle('is-hit', this.marked.has(node));
        row.classList.toggle('is-flawed', node.flaw !== '');
        return row;
    }

    makeLane(node) {
        const { tree } = this, left = share(node.start - tree.start, tree.duration);
        const width = share(node.stop - node.start, tree.duration), right = 100 - left - width;
        const bar = el('div', { class: `bar ${this.colors.get(node.service)}` });
        setStyle(setStyle(bar, 'left', `${left}%`), 'width', `${width}%`);
        const text = el('span', { class: 'bar-text' }, format.duration(node.stop - node.start));
        if (right >= 16) {
            setStyle(text, 'left', `${left + width}%`);
        } else if (left >= 16) {
            setStyle(text, 'right', `${100 - left}%`);
        } else {
            text.classList.add('inside');
            setStyle(text, 'left', `${left}%`);
        }
        const marks = (node.span.logs ?? []).slice(0, EVENT_MARKS).map((log) =>
            setStyle(el('i', { class: 'event' }), 'left', `${share(log.timestamp - tree.start, tree.duration)}%`));
        return el('div', { class: 'lane' }, bar, marks, text);
    }

    /* --- selection and folding --------------------------------------------------------------------- */

    showSelected() {
        for (const [place, row] of this.elements) {
            row.classList.toggle('is-selected', place === this.selected);
            row.setAttribute('aria-selected', String(place === this.selected));
        }
        const row = this.elements.get(this.selected);
        if (row)
            this.scroller.setAttribute('aria-activedescendant', row.id);
        else
            this.scroller.removeAttribute('aria-activedescendant');
    }

    select(place, isCentred) {
        this.selected = Math.min(this.rows.length - 1, Math.max(0, place));
        this.keepInSight(isCentred);
        this.hooks.onSelect(this.rows[this.selected]);
    }

    /* Scrolls as little as needed, or puts the selected row in the middle when it was out of sight. */
    keepInSight(isCentred) {
        const { scroller, rowHeight } = this, top = this.selected * rowHeight;
        const room = scroller.clientHeight - rowHeight;
        const isAbove = top < scroller.scrollTop, isBelow = top > scroller.scrollTop + room;
        if (isAbove || isBelow)
            scroller.scrollTop = isCentred ? top - room / 2 : isAbove ? top : top - room;
        this.draw();
    }

    fold(node, isFolded) {
        if (!node.children.length || this.collapsed.has(node) === isFolded)
            return;
        if (isFolded)
            this.collapsed.add(node);
        else
            this.collapsed.delete(node);
        this.rebuild();
        this.draw();
    }

    /* Unfolds what hides the node and goes there. */
    reveal(node) {
        for (let parent = node.parent; parent; parent = parent.parent)
            this.collapsed.delete(parent);
        this.rebuild();
        this.select(this.placeOf(node), true);
    }

    expandAll() {
        this.collapsed.clear();
        this.rebuild();
        this.select(this.selected, true);
    }

    /* Roots stay open, or nothing would be left to see. */
    collapseAll() {
        this.collapsed = new Set(this.tree.nodes.filter((node) => node.children.length && node.depth > 0));
        this.rebuild();
        this.select(this.selected, true);
    }

    mark(nodes) {
        this.marked = nodes;
        this.clear();
        this.draw();
    }

    focus() {
        this.scroller.focus({ preventScroll: true });
    }

    /* --- input ------------------------------------------------------------------------------------- */

    onClick(event) {
        const row = event.target.closest('.row');
        if (!row)
            return;
        const place = Number(row.dataset.place), node = this.rows[place];
        this.select(place);
        if (event.target.closest('.toggle') && node.children.length)
            this.fold(node, !this.collapsed.has(node));
        else
            this.hooks.onOpen(node);
    }

    stepIn(node) {
        if (this.collapsed.has(node))
            this.fold(node, false);
        else if (node.children.length)
            this.select(this.selected + 1);
    }

    stepOut(node) {
        if (node.children.length && !this.collapsed.has(node))
            this.fold(node, true);
        else if (node.parent)
            this.select(this.placeOf(node.parent));
    }

    onKey(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
            return;
        const node = this.rows[this.selected];
        const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.rowHeight) - 1);
        const actions = {
            ArrowDown: () => this.select(this.selected + 1),
            ArrowUp: () => this.select(this.selected - 1),
            PageDown: () => this.select(this.selected + page),
            PageUp: () => this.select(this.selected - page),
            Home: () => this.select(0),
            End: () => this.select(this.rows.length - 1),
            ArrowRight: () => this.stepIn(node),
            ArrowLeft: () => this.stepOut(node),
            Enter: () => this.hooks.onOpen(node),
            ' ': () => this.hooks.onOpen(node),
        };
        if (!actions[event.key])
            return;
        event.preventDefault();
        actions[event.key]();
    }
}
