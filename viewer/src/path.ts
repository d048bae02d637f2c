/** The smooth path through the cameras, as in the package's `sample_path`. */

import { Quat, Vec3 } from 'playcanvas';
import type { ViewCamera } from './cameras.ts';
import type { Lens, View } from './geometry.ts';

/**
 * Positions are in units of cameras: `i` is camera i itself. Between, the centres follow a natural
 * cubic spline, the rotations a natural cubic spline of their quaternions, the lenses a line.
 */
export class CameraPath {
    readonly #cameras: readonly ViewCamera[];
    readonly #splines: NaturalSpline[];

    constructor(cameras: readonly ViewCamera[]) {
        this.#cameras = cameras;
        const quaternions = aligned(cameras.map((camera) => camera.pose.rotation));
        const columns = [
            ...(['x', 'y', 'z'] as const).map((axis) => cameras.map((c) => c.pose.position[axis])),
            ...(['x', 'y', 'z', 'w'] as const).map((axis) => quaternions.map((q) => q[axis])),
        ];
        this.#splines = columns.map((values) => new NaturalSpline(values));
    }

    /** Position of the last camera; −1 without cameras. */
    get end(): number {
        return this.#cameras.length - 1;
    }

    /** The camera that a position is exactly at. */
    cameraAt(t: number): number | null {
        return Number.isInteger(t) && t >= 0 && t <= this.end ? t : null;
    }

    /** View at a position; positions beyond an end are that end's. */
    at(t: number): View {
        if (this.end < 0) throw new RangeError('a path without cameras has no views');
        const where = Math.min(Math.max(t, 0), this.end);
        const [x, y, z, qx, qy, qz, qw] = this.#splines.map((spline) => spline.at(where)) as [
            number,
            number,
            number,
            number,
            number,
            number,
            number,
        ];
        const pose = {
            position: new Vec3(x, y, z),
            rotation: new Quat(qx, qy, qz, qw).normalize(),
        };
        return { pose, lens: this.#lensAt(where) };
    }

    #lensAt(t: number): Lens {
        const before = this.#cameras[Math.floor(t)] as ViewCamera;
        const after = this.#cameras[Math.ceil(t)] as ViewCamera;
        const mix = (name: keyof Lens) => {
            return before.lens[name] + (after.lens[name] - before.lens[name]) * (t % 1);
        };
        return {
            fx: mix('fx'),
            fy: mix('fy'),
            cx: mix('cx'),
            cy: mix('cy'),
            width: mix('width'),
            height: mix('height'),
        };
    }
}

/** The same rotations with signs chosen so that neighbours lie on the same side of the sphere. */
function aligned(rotations: readonly Quat[]): Quat[] {
    const result: Quat[] = [];
    for (const rotation of rotations) {
        const previous = result.at(-1);
        const flip = previous !== undefined && previous.dot(rotation) < 0;
        result.push(flip ? rotation.clone().mulScalar(-1) : rotation.clone());
    }
    return result;
}

/** Cubic spline through values at 0, 1, 2 …, without curvature at both ends. */
export class NaturalSpline {
    readonly #values: readonly number[];
    readonly #curvatures: number[];

    constructor(values: readonly number[]) {
        this.#values = values;
        this.#curvatures = naturalCurvatures(values);
    }

    at(t: number): number {
        const before = Math.max(0, Math.min(Math.floor(t), this.#values.length - 2));
        const [y0, y1 = y0] = this.#values.slice(before, before + 2) as [number, number?];
        const [m0, m1 = m0] = this.#curvatures.slice(before, before + 2) as [number, number?];
        const b = t - before;
        const a = 1 - b;
        return a * y0 + b * y1 + ((a ** 3 - a) * m0 + (b ** 3 - b) * m1) / 6;
    }
}

/** Second derivatives at the knots: the tridiagonal system of continuous slopes. */
function naturalCurvatures(values: readonly number[]): number[] {
    const n = values.length;
    const curvatures = new Array<number>(n).fill(0);
    const upper = new Array<number>(n).fill(0);
    const value = (i: number) => values[i] as number;
    for (let i = 1; i < n - 1; i++) {
        const pivot = 4 - (upper[i - 1] as number);
        const jump = 6 * (value(i - 1) - 2 * value(i) + value(i + 1));
        upper[i] = 1 / pivot;
        curvatures[i] = (jump - (curvatures[i - 1] as number)) / pivot;
    }
    for (let i = n - 3; i >= 1; i--) {
        curvatures[i] =
            (curvatures[i] as number) - (upper[i] as number) * (curvatures[i + 1] as number);
    }
    return curvatures;
}
