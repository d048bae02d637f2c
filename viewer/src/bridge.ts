/** The page around the viewer, if there is one. */

import type { HostMessage, ViewerMessage } from './protocol.ts';
import { checkAgainstSchema } from './schema.ts';

/**
 * Listen to the page that holds this one in a frame.
 *
 * Only the parent is heard, and only if it comes from the same origin as this page. A page without
 * an origin, as in a `srcdoc` frame, shows what it holds and hears nobody.
 *
 * @param onProblem called with words about a message that does not fit the protocol
 * @returns what sends to that page; nothing happens without one
 */
export function connect(
    onMessage: (message: HostMessage) => void,
    onProblem: (problem: string) => void,
): (message: ViewerMessage) => void {
    if (window.parent === window || window.location.origin === 'null') return () => {};
    window.addEventListener('message', ({ data, origin, source }) => {
        if (origin !== window.location.origin || source !== window.parent) return;
        const problem = checkAgainstSchema(data, 'HostMessage');
        if (problem) onProblem(problem);
        else onMessage(data as HostMessage);
    });
    return (message) => window.parent.postMessage(message, window.location.origin);
}
