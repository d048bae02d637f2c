/** A timer that stands still where the browser draws nothing: in hidden tabs and frames. */

/** A longer pause between two pictures is a time in which nothing was drawn. */
const MAX_PAUSE_MS = 1000;

/** Call `handler` once the page has been shown for so long; returns what calls it off. */
export function afterShown(ms: number, handler: () => void): () => void {
    let left = ms;
    let last = performance.now();
    let request = requestAnimationFrame(look);
    function look(): void {
        const now = performance.now();
        left -= Math.min(now - last, MAX_PAUSE_MS);
        last = now;
        if (left <= 0) handler();
        else request = requestAnimationFrame(look);
    }
    return () => cancelAnimationFrame(request);
}
