/* dom.js - building elements. Everything that comes from the API ends in a text node or an attribute that
 * is no handler and no address, so no data can become markup. */

const SVG = 'http://www.w3.org/2000/svg';

function put(node, props, children) {
    for (const [key, value] of Object.entries(props ?? {})) {
        if (value === null || value === undefined || value === false)
            continue;
        if (key === 'on')
            for (const [event, listener] of Object.entries(value))
                node.addEventListener(event, listener);
        else
            node.setAttribute(key, value === true ? '' : value);
    }
    const isThere = (child) => child !== null && child !== undefined && child !== false;
    node.append(...children.flat(Infinity).filter(isThere));
    return node;
}

/* el('a', { href: '#/', on: { click } }, 'text', node, [more]) */
export function el(tag, props, ...children) {
    return put(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
    return put(document.createElementNS(SVG, tag), props, children);
}

/* Changes text only when it differs: a reader's selection and a screen reader stay undisturbed by polling. */
export function setText(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

/* A style property set through the object model, which the content security policy allows. */
export function setStyle(node, name, value) {
    node.style.setProperty(name, value);
    return node;
}

export function notice(kind, title, text) {
    return el('div', { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : 'status' },
        el('strong', null, title), text ? ` ${text}` : '');
}

export function card(title, className, ...children) {
    const id = `card-${className}`;
    return el('section', { class: `card ${className}`, 'aria-labelledby': id }, el('h2', { id }, title), children);
}

export function isTyping(target) {
    return target instanceof HTMLElement && target.matches('input, select, textarea, [contenteditable]');
}

/* The coloured square before a name; the name says the same, so it is no news to a screen reader. */
export function swatch(color) {
    return el('span', { class: `key ${color}`, 'aria-hidden': 'true' });
}

/* Always beside the word, or with a label of its own. */
export function errorMark(label) {
    const spoken = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
    return el('span', { class: 'error-mark', ...spoken }, '!');
}

export function button(text, click) {
    return el('button', { type: 'button', class: 'small', on: { click } }, text);
}

/* A definition list of [name, value] pairs, or [name, value, class of the row]. */
export function pairs(className, rows) {
    return el('dl', { class: className },
        rows.map(([name, value, rowClass]) => el('div', { class: rowClass }, el('dt', null, name), el('dd', null, value))));
}

export function muted(text) {
    return el('span', { class: 'muted' }, text);
}
