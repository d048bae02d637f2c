/** Below 20 pictures a second, this often in a row, graphics count as too slow. */
const SLOW_FRAME_MS = 50;
const SLOW_FRAMES = 3;
/** Coarse pictures that are slow this often in a row will stay so. */
const TOO_SLOW_FRAMES = 12;
/** The view has come to rest when it has not moved for this long. */
const REST_MS = 200;

/** Decides on the resolution: coarse while a view moves that graphics cannot keep up with. */
export class ResolutionGovernor {
    #time = 0;
    #lastMove = 0;
    #slowFrames = 0;
    #coarse = true;

    /** Whether graphics do not keep up with what moves now. */
    get slow(): boolean {
        return this.#slowFrames >= TOO_SLOW_FRAMES;
    }

    get coarse(): boolean {
        return this.#coarse;
    }

    /** A scene appears at `time`: coarse at first, so that it is there sooner. */
    restart(time: number): void {
        this.#coarse = true;
        this.#lastMove = time;
        this.#slowFrames = 0;
    }

    /** Take note of a frame, and whether the view moved in it. */
    frame(time: number, moved: boolean): void {
        const slow = time - this.#time > SLOW_FRAME_MS;
        this.#time = time;
        if (moved) {
            this.#lastMove = time;
            this.#slowFrames = slow ? this.#slowFrames + 1 : 0;
            if (this.#slowFrames >= SLOW_FRAMES) this.#coarse = true;
        } else if (time - this.#lastMove >= REST_MS) {
            this.#slowFrames = 0;
            this.#coarse = false;
        }
    }
}
