/** The beat of the viewer: every picture while something happens, now and then while nothing does. */

/** Steps longer than this, after the tab slept, would throw the view around. */
const MAX_STEP_SECONDS = 0.1;
/** Nothing has happened for this long: the loop rests. */
const REST_MS = 1000;
/** While resting, how often a gamepad is looked at. */
const RESTING_INTERVAL_MS = 100;

/** What is done at each beat; true if anything moved. */
export type Beat = (time: number, seconds: number) => boolean;

/** A loop at the display's pace would keep a processor busy beside a page that computes. */
export class FrameLoop {
    readonly #beat: Beat;
    #time = performance.now();
    #lastMove = performance.now();
    #resting: number | null = null;

    constructor(beat: Beat) {
        this.#beat = beat;
        requestAnimationFrame(() => this.#run());
    }

    /** Something is about to move. */
    wake(): void {
        this.#lastMove = performance.now();
        if (this.#resting === null) return;
        clearTimeout(this.#resting);
        this.#resting = null;
        this.#time = performance.now();
        requestAnimationFrame(() => this.#run());
    }

    #run(): void {
        this.#resting = null;
        const time = performance.now();
        const seconds = Math.min((time - this.#time) / 1000, MAX_STEP_SECONDS);
        this.#time = time;
        if (this.#beat(time, seconds)) this.#lastMove = time;
        if (time - this.#lastMove < REST_MS) requestAnimationFrame(() => this.#run());
        else this.#resting = window.setTimeout(() => this.#run(), RESTING_INTERVAL_MS);
    }
}
