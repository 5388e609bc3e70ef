/* sparkline.js - the last minutes of one number: a line, its area, the highest value as a scale. */
import { el, svg, setText } from './dom.js';

const WIDTH = 300, HEIGHT = 60, TOP = 4;

export class Sparkline {
    /* words(values) is what a screen reader hears. */
    constructor(format, words) {
        this.format = format;
        this.words = words;
        this.area = svg('path', { class: 'area' });
        this.line = svg('path', { class: 'line' });
        this.picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
            this.area, this.line);
        this.top = el('span', { class: 'spark-top' });
        this.element = el('div', { class: 'spark' }, this.picture, this.top);
    }

    /* The width stands for `slots` values; fewer are drawn from the right. */
    show(values, slots) {
        const highest = Math.max(1, ...values);
        const x = (i) => WIDTH - ((values.length - 1 - i) * WIDTH) / (slots - 1);
        const y = (value) => TOP + (HEIGHT - TOP) * (1 - value / highest);
        const points = values.map((value, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`);
        const line = points.length > 1 ? `M${points.join('L')}` : '';
        this.line.setAttribute('d', line);
        this.area.setAttribute('d', line && `${line}L${WIDTH} ${HEIGHT}L${x(0).toFixed(1)} ${HEIGHT}Z`);
        this.picture.setAttribute('aria-label', this.words(values));
        setText(this.top, values.length ? `peak ${this.format(Math.max(...values))}` : '');
    }
}
