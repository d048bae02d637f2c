/** A path flown by hand, as cameras. */

import { fovOnCanvas, matrixFromPose, type Size, type View } from './geometry.ts';
import type { CameraFile, CameraFrame } from './protocol.ts';

const INTERVAL_SECONDS = 0.1;
/** More cameras than this say no more of a path: then every second one goes. */
const MAX_FRAMES = 600;
/** Side of the square pictures that the path is for; only its ratio to the focal length counts. */
const SIDE = 256;

export class PathRecorder {
    #frames: CameraFrame[] | null = null;
    #wait = 0;
    #last = '';

    get recording(): boolean {
        return this.#frames !== null;
    }

    start(): void {
        this.#frames = [];
        this.#wait = 0;
        this.#last = '';
    }

    /** Note the view, unless it stands still. */
    note(view: View, canvas: Size, seconds: number): void {
        if (!this.#frames) return;
        this.#wait -= seconds;
        if (this.#wait > 0) return;
        const matrix = matrixFromPose(view.pose);
        const key = matrix.flat().join();
        if (key === this.#last) return;
        this.#last = key;
        this.#wait = INTERVAL_SECONDS;
        const fov = (fovOnCanvas(view.lens, canvas) * Math.PI) / 180;
        const focal = SIDE / 2 / Math.tan(fov / 2);
        // Readers of such files expect a picture's name.
        const name = `frames/${String(this.#frames.length).padStart(3, '0')}.png`;
        this.#frames.push({
            file_path: name,
            transform_matrix: matrix,
            fl_x: focal,
            fl_y: focal,
        });
        if (this.#frames.length > MAX_FRAMES)
            this.#frames = this.#frames.filter((_, i) => i % 2 === 0);
    }

    /** End; the path, or null if nothing moved. */
    stop(): CameraFile | null {
        const frames = this.#frames ?? [];
        this.#frames = null;
        if (frames.length < 2) return null;
        return { w: SIDE, h: SIDE, cx: SIDE / 2, cy: SIDE / 2, frames };
    }
}
