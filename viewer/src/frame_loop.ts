/** The beat of the viewer: every picture while something happens, none while nothing does. */

/** Steps longer than this, after the tab slept, would throw the view around. */
const MAX_STEP_SECONDS = 0.1;
/** Nothing has happened for this long, in which the picture has become sharp: the loop rests. */
const REST_MS = 300;
/** While resting, how often what sends no events is looked at. */
const WATCHING_INTERVAL_MS = 100;

/** What is done at each beat; true if anything moved. */
export type Beat = (time: number, seconds: number) => boolean;

/** A loop at the display's pace would keep a processor busy beside a page that computes. */
export class FrameLoop {
    readonly #beat: Beat;
    readonly #watches: () => boolean;
    #time = performance.now();
    #lastMove = performance.now();
    #resting = false;
    #watching: number | undefined;

    /** `watches` says whether something may move without an event that wakes the loop. */
    constructor(beat: Beat, watches: () => boolean) {
        this.#beat = beat;
        this.#watches = watches;
        requestAnimationFrame(() => this.#run());
    }

    /** Something is about to move. */
    wake(): void {
        this.#lastMove = performance.now();
        if (!this.#resting) return;
        this.#resting = false;
        clearTimeout(this.#watching);
        this.#time = performance.now();
        requestAnimationFrame(() => this.#run());
    }

    #run(): void {
        const time = performance.now();
        const seconds = Math.min((time - this.#time) / 1000, MAX_STEP_SECONDS);
        this.#time = time;
        if (this.#beat(time, seconds)) this.#lastMove = time;
        this.#resting = time - this.#lastMove >= REST_MS;
        if (!this.#resting) requestAnimationFrame(() => this.#run());
        else if (this.#watches()) {
            this.#watching = window.setTimeout(() => this.#run(), WATCHING_INTERVAL_MS);
        }
    }
}
