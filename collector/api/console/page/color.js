/* color.js - one colour per service. A name hashes to a slot of the palette in console.css and moves on to the
 * next free one, so a service keeps its colour from page to page unless two of one page collide. */

export const COLORS = 14;

function hash(text) {
    let h = 2166136261;
    for (let i = 0; i < text.length; i++)
        h = Math.imul(h ^ text.charCodeAt(i), 16777619);
    return (h ^ (h >>> 15)) >>> 0;
}

/* Map of name -> class. Beyond the size of the palette colours are shared. */
export function colorsOf(names) {
    const colors = new Map(), taken = new Set();
    for (const name of [...new Set(names)].sort()) {
        let slot = hash(name) % COLORS;
        while (taken.has(slot) && taken.size < COLORS)
            slot = (slot + 5) % COLORS;
        taken.add(slot);
        colors.set(name, `c${slot}`);
    }
    return colors;
}
