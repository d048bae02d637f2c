/** How far the hand may go: around what the cameras saw, with a soft end. */

import { Quat, Vec3 } from 'playcanvas';
import type { ViewCamera } from './cameras.ts';
import { axesOf, levelTo } from './geometry.ts';

/** Angles of a turn, or of a place seen from what it turns about; radians. */
export interface Angles {
    yaw: number;
    pitch: number;
}

type Range = readonly [least: number, most: number];

/** How far beyond the outermost camera one turns freely, then ever more slowly, and no farther. */
const MARGIN = (12 * Math.PI) / 180;
const SLACK = (8 * Math.PI) / 180;
/** The same for looking around from a place, where a picture's own width comes on top. */
const LOOK_MARGIN = (25 * Math.PI) / 180;
/** Nearest and farthest, in distances between camera and subject. */
const NEAREST = 0.6;
const FARTHEST = 1.5;
/** How far from the nearest camera, in the same unit: a little more than the two above allow. */
const REACH = 0.75;
/** Cameras all around leave nothing that was not seen. */
const ALL_AROUND = (300 * Math.PI) / 180;

/** The surroundings of a set of cameras in which there is something to see. */
export class Bounds {
    readonly #centers: readonly Vec3[];
    readonly #orbit: { yaw: Range; pitch: Range };
    readonly #look: { yaw: Range; pitch: Range };
    readonly #distances: Range;
    readonly #reach: number;

    /**
     * @param cameras at least one
     * @param focus what they look at
     * @param up upward direction
     */
    constructor(cameras: readonly ViewCamera[], focus: Vec3, up: Vec3) {
        const unlevel = levelTo(up).conjugate();
        this.#centers = cameras.map(({ pose }) => pose.position.clone());
        const places = this.#centers.map((center) => {
            return backAngles(turned(unlevel, new Vec3().sub2(center, focus)));
        });
        const looks = cameras.map(({ pose }) => {
            return backAngles(turned(unlevel, axesOf(pose.rotation).forward.mulScalar(-1)));
        });
        this.#orbit = { yaw: hull(places, 'yaw', MARGIN), pitch: hull(places, 'pitch', MARGIN) };
        this.#look = {
            yaw: hull(looks, 'yaw', LOOK_MARGIN),
            pitch: hull(looks, 'pitch', LOOK_MARGIN),
        };
        const distances = this.#centers.map((center) => center.distance(focus));
        this.#distances = [NEAREST * Math.min(...distances), FARTHEST * Math.max(...distances)];
        this.#reach = REACH * Math.max(...distances);
    }

    /** Angles after a turn from `from`: about the focus, or of the view where it stands. */
    turn(from: Angles, yaw: number, pitch: number, aboutFocus: boolean): Angles {
        const ranges = aboutFocus ? this.#orbit : this.#look;
        return {
            yaw: resisted(unwound(from.yaw, ranges.yaw), yaw, ranges.yaw),
            pitch: resisted(from.pitch, pitch, ranges.pitch),
        };
    }

    /** The distance from the focus next to `wanted` that may be had; a view from outside may stay. */
    distance(wanted: number, from: number): number {
        const [least, most] = this.#distances;
        return Math.min(Math.max(wanted, Math.min(least, from)), Math.max(most, from));
    }

    /** Move a place that left the cameras' surroundings back to their border. */
    confine(place: Vec3, from: Vec3): void {
        const nearest = this.#nearest(place);
        // A view that starts outside may come nearer.
        const reach = Math.max(this.#reach, from.distance(this.#nearest(from)));
        const offset = new Vec3().sub2(place, nearest);
        if (offset.length() > reach) place.add2(nearest, offset.normalize().mulScalar(reach));
    }

    #nearest(place: Vec3): Vec3 {
        const [first, ...others] = this.#centers as [Vec3, ...Vec3[]];
        return others.reduce(
            (best, center) => (place.distance(center) < place.distance(best) ? center : best),
            first,
        );
    }
}

/** A step from a value that meets ever more resistance beyond a range; inwards there is none. */
export function resisted(value: number, step: number, [least, most]: Range): number {
    if (step < 0) return -resisted(-value, -step, [-most, -least]);
    const free = Math.max(0, Math.min(step, most - value));
    if (free === step) return value + step;
    const start = Math.max(value + free, most);
    const pull = Math.max(0, 1 - (start - most) / SLACK);
    // The rest of a step stretches the band, which gives way by its slack at most.
    return value + free + pull * SLACK * (1 - Math.exp(-(step - free) / SLACK));
}

function turned(rotation: Quat, vector: Vec3): Vec3 {
    return new Quat().copy(rotation).transformVector(vector, vector);
}

/** Yaw and pitch of a camera whose backward direction this is, in a level frame. */
function backAngles(back: Vec3): Angles {
    const length = back.length() || 1;
    return {
        yaw: Math.atan2(back.x, back.z),
        pitch: -Math.asin(Math.min(Math.max(back.y / length, -1), 1)),
    };
}

function hull(angles: readonly Angles[], name: keyof Angles, margin: number): Range {
    const middle = (angles[Math.floor((angles.length - 1) / 2)] as Angles)[name];
    const offsets = angles.map((angle) => wrapped(angle[name] - middle));
    const [least, most] = [Math.min(...offsets), Math.max(...offsets)];
    if (name === 'yaw' && most - least > ALL_AROUND) return [-Infinity, Infinity];
    return [middle + least - margin, middle + most + margin];
}

/** The same angle, on the turn that the range's middle is on. */
function unwound(angle: number, [least, most]: Range): number {
    const middle = (least + most) / 2;
    return Number.isFinite(middle) ? middle + wrapped(angle - middle) : angle;
}

/** The same angle in [−π, π]. */
function wrapped(angle: number): number {
    return Math.atan2(Math.sin(angle), Math.cos(angle));
}
