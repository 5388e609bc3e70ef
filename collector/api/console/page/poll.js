/* poll.js - a page that is asked for again and again while somebody looks at it. */
import { isAbort } from './api.js';
import { el, setText } from './dom.js';

/* Puts the page into main and calls ask() at once and every so many milliseconds, never twice at a time, until the signal. A
 * failure is told above the page, which then is not current. */
export function poll(main, page, ms, signal, ask) {
    const trouble = el('div', { class: 'notice bad', role: 'alert', hidden: true });
    let timer = 0, isAsking = false;

    const tell = (error) => {
        page.classList.toggle('stale', Boolean(error));
        trouble.hidden = !error;
        if (error)
            setText(trouble, `${error.message} What is shown is not current; asking again every ${ms / 1000} seconds.`);
        else
            page.classList.remove('loading');
    };
    const round = async () => {
        clearTimeout(timer);
        if (isAsking || document.hidden || signal.aborted)
            return;
        isAsking = true;
        try {
            await ask();
            tell(null);
        } catch (error) {
            if (!isAbort(error))
                tell(error);
        }
        isAsking = false;
        if (!signal.aborted)
            timer = setTimeout(round, ms);
    };
    main.append(trouble, page);
    document.addEventListener('visibilitychange', round, { signal });
    signal.addEventListener('abort', () => clearTimeout(timer));
    round();
}
