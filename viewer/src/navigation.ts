/** Where one is among the cameras: at one, between two in flight, or away from them. */

import type { ViewCamera } from './cameras.ts';
import type { View } from './geometry.ts';
import { CameraPath } from './path.ts';
import { CameraRig, type Hold } from './rig.ts';

export interface PlayOptions {
    /** Back and forth until paused. */
    loop?: boolean | undefined;
    /** Cameras per second. */
    speed?: number | undefined;
}

/** Seconds of the first flight, from where one is to one end, the other, and back. */
const FLIGHT_SECONDS = 14;

/** The camera from which a scene shows most: those at the ends of a row see what no other does. */
export function middleCamera(count: number): number {
    return Math.max(0, Math.floor((count - 1) / 2));
}

export class Navigation {
    readonly rig = new CameraRig();
    readonly #onPlayback: () => void;
    #cameras: readonly ViewCamera[] = [];
    #path = new CameraPath([]);
    #t = 0;
    #lastCamera = 0;
    #playing = false;
    #direction = 1;
    #loop = false;
    #speed = 1;
    /** Seconds into the first flight. */
    #flight: number | null = null;
    #start: { position: number; view: View | null } = { position: 0, view: null };

    /** @param onPlayback called when playing starts or stops, or the position on the path changes */
    constructor(onPlayback: () => void) {
        this.#onPlayback = onPlayback;
    }

    get cameras(): readonly ViewCamera[] {
        return this.#cameras;
    }

    /** Position on the path, in units of cameras. */
    get t(): number {
        return this.#t;
    }

    /** Position of the last camera; −1 without cameras. */
    get end(): number {
        return this.#path.end;
    }

    get playing(): boolean {
        return this.#playing;
    }

    /** The camera that one is at, was last at, or flew by last. */
    get lastCamera(): number {
        return this.#lastCamera;
    }

    /** The camera that the view is held to. */
    get camera(): number | null {
        const { hold } = this.rig;
        return hold.kind === 'camera' ? hold.camera : null;
    }

    /** The camera whose exact view is on screen. */
    get looking(): number | null {
        return this.rig.moving ? null : this.camera;
    }

    /** Replace the cameras; the view stays where it is. */
    useCameras(cameras: readonly ViewCamera[]): void {
        this.pause();
        this.rig.release();
        this.#cameras = cameras;
        this.#path = new CameraPath(cameras);
        this.#t = this.#within(this.#t);
        this.#lastCamera = Math.round(this.#t);
    }

    /** Set where `reset` leads: a position on the path, or a view where there is no path. */
    setStart(position: number, view: View): void {
        this.#start = { position, view };
    }

    reset(instant = false): void {
        this.pause();
        const { position, view } = this.#start;
        if (this.end >= 0) this.#holdTo(this.#within(position), instant);
        else if (view) this.rig.show(view, instant);
    }

    /** View from a camera, which must exist. */
    gotoCamera(camera: number, instant = false): void {
        if (!(camera >= 0 && camera <= this.end)) {
            throw new RangeError(`there is no camera ${camera} of ${this.end + 1}`);
        }
        this.pause();
        this.#holdTo(camera, instant);
    }

    seek(t: number): void {
        if (this.end < 0) return;
        this.pause();
        this.#holdTo(this.#within(t), true);
        this.#onPlayback();
    }

    /** Fly on from the present position; from the end, from the beginning. */
    play({ loop = false, speed = 1 }: PlayOptions = {}): void {
        if (this.end < 1) return;
        this.#playing = true;
        this.#flight = null;
        this.#direction = 1;
        this.#loop = loop;
        this.#speed = speed;
        const t = this.#t >= this.end ? 0 : this.#t;
        this.#holdTo(t, this.rig.hold.kind !== 'free');
        this.#onPlayback();
    }

    /** Fly slowly once along all cameras and back to where one is. */
    takeFlight(): void {
        if (this.end < 1 || this.rig.still || this.rig.hold.kind === 'free') return;
        this.#playing = true;
        this.#flight = 0;
        this.#onPlayback();
    }

    /** Whether the first flight goes on. */
    get inFlight(): boolean {
        return this.#flight !== null;
    }

    pause(): void {
        if (!this.#playing) return;
        this.#playing = false;
        this.#flight = null;
        this.#onPlayback();
    }

    /** Let time pass: the flight goes on, unless the hand took over or the view is on its way. */
    advance(seconds: number): void {
        if (this.#playing && this.rig.hold.kind === 'free') this.pause();
        if (this.#playing && !this.rig.moving) {
            if (this.#flight === null) this.#fly(seconds);
            else this.#glide(this.#flight + seconds);
        }
        this.rig.update(seconds);
    }

    #fly(seconds: number): void {
        const t = this.#within(this.#t + this.#direction * this.#speed * seconds);
        if (t === this.end) this.#direction = -1;
        if (t === 0) this.#direction = 1;
        // With reduced motion the view steps from camera to camera instead of gliding.
        this.#holdTo(this.rig.still ? Math.floor(t) : t, true);
        this.#t = t;
        if (t === this.end && !this.#loop) this.#playing = false;
        this.#onPlayback();
    }

    /** The first flight: eased where it begins and ends, and at both ends of the path. */
    #glide(seconds: number): void {
        const done = Math.min(seconds / FLIGHT_SECONDS, 1);
        const phase = 2 * Math.PI * (done * done * (3 - 2 * done));
        const start = this.#within(this.#start.position);
        const wave = Math.sin(phase);
        this.#holdTo(start + wave * (wave > 0 ? this.end - start : start), true);
        this.#flight = seconds;
        if (done === 1) this.pause();
        else this.#onPlayback();
    }

    #holdTo(t: number, instant: boolean): void {
        this.#t = t;
        this.#lastCamera = Math.round(t);
        const camera = this.#path.cameraAt(t);
        const hold: Hold = camera === null ? { kind: 'path', t } : { kind: 'camera', camera };
        this.rig.holdTo(hold, this.#path.at(t), instant);
    }

    #within(t: number): number {
        return Math.min(Math.max(t, 0), Math.max(this.end, 0));
    }
}
