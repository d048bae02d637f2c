/** Cameras from a nerfstudio `transforms.json`. */

import { Vec3 } from 'playcanvas';
import { ViewerError } from './errors.ts';
import {
    axesOf,
    type Lens,
    lensFromFov,
    lookRotation,
    type Pose,
    poseFromMatrix,
    type View,
} from './geometry.ts';
import type { CameraFile, CameraFrame, HexColor, Intrinsics } from './protocol.ts';
import { checkAgainstSchema } from './schema.ts';

/** One camera of the scene. */
export interface ViewCamera {
    pose: Pose;
    lens: Lens;
    color: HexColor;
    /** Address of its picture. */
    frame: string | null;
}

/** Colours of views 1 to 8, the same as in the Python package. */
export const VIEW_COLORS: readonly HexColor[] = [
    '#e6194b',
    '#f58231',
    '#ffd500',
    '#3cb44b',
    '#17c3c9',
    '#4363d8',
    '#911eb4',
    '#f032c8',
];

const DISTORTIONS = ['k1', 'k2', 'k3', 'k4', 'p1', 'p2'];

/** Largest deviation from a rotation: what float32 files carry is below 1e-5. */
const ROTATION_TOLERANCE = 1e-3;

/** More cameras than this is a video, not a set of views, and would hide the scene. */
const MAX_CAMERAS = 1000;

/**
 * Check and convert a camera file.
 *
 * @param base where relative picture paths start
 * @throws ViewerError in words, if a camera cannot be used
 */
export function parseCameras(
    file: unknown,
    base: string,
    colors: readonly HexColor[] = [],
): ViewCamera[] {
    const problem = checkAgainstSchema(file, 'CameraFile');
    if (problem) throw badCameras(problem);
    const { frames, ...shared } = file as CameraFile;
    if (frames.length > MAX_CAMERAS) {
        throw badCameras(`it has ${frames.length} cameras, the viewer takes up to ${MAX_CAMERAS}`);
    }
    return frames.map((frame, index) => {
        const name = `camera ${index + 1}`;
        checkRotation(frame, name);
        return {
            pose: poseFromMatrix(frame.transform_matrix),
            lens: lensOf({ ...shared, ...frame }, name),
            color: colors[index] ?? colorOf(index),
            frame: frame.file_path === undefined ? null : new URL(frame.file_path, base).href,
        };
    });
}

/** Colour of a camera: the package's for the first eight, then spread over the colour circle. */
export function colorOf(index: number): HexColor {
    const given = VIEW_COLORS[index];
    if (given) return given;
    // The golden angle never repeats and keeps neighbours apart.
    const hue = (index * 137.508) % 360;
    const channel = (offset: number) => {
        const k = (offset + hue / 30) % 12;
        const level = 0.5 - 0.35 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
        return Math.round(255 * level)
            .toString(16)
            .padStart(2, '0');
    };
    return `#${channel(0)}${channel(8)}${channel(4)}`;
}

/**
 * The upward direction that the cameras agree on: level cameras have their x axes in the ground
 * plane, and where those do not span a plane, the mean of their y axes decides.
 */
export function upOf(cameras: readonly ViewCamera[]): Vec3 {
    if (cameras.length === 0) return Vec3.UP.clone();
    const axes = cameras.map((camera) => axesOf(camera.pose.rotation));
    const mean = axes.reduce((sum, { up }) => sum.add(up), new Vec3());
    // Cameras that look in all directions of a sphere have no common upward direction.
    if (mean.length() < 0.2 * cameras.length) return Vec3.UP.clone();
    mean.normalize();
    const up = mean.clone();
    // Power iteration on I − mean(right·rightᵀ) + weight · mean·meanᵀ. The weight outvotes x axes
    // that spread over less than about four degrees, where errors of the poses would decide.
    const weight = 0.005;
    for (let step = 0; step < 256; step++) {
        const next = up.clone().add(mean.clone().mulScalar(weight * mean.dot(up)));
        for (const { right } of axes) {
            next.sub(right.clone().mulScalar(right.dot(up) / cameras.length));
        }
        up.copy(next.normalize());
    }
    return up;
}

/** The mean of the cameras' centres, and the distance of the farthest one from it. */
export function extentOf(cameras: readonly ViewCamera[]): { middle: Vec3; spread: number } {
    const middle = new Vec3();
    for (const { pose } of cameras) middle.add(pose.position.clone().mulScalar(1 / cameras.length));
    const spread = Math.max(0, ...cameras.map(({ pose }) => pose.position.distance(middle)));
    return { middle, spread };
}

/** A view of the cameras themselves, from behind and above, with all of them in it. */
export function overviewOf(cameras: readonly ViewCamera[]): View {
    const { middle, spread } = extentOf(cameras);
    const up = upOf(cameras);
    const forward = new Vec3();
    for (const { pose } of cameras) forward.add(axesOf(pose.rotation).forward);
    // Cameras that look in all directions have no common one; any is as good then.
    if (forward.length() < 0.1 * cameras.length) forward.copy(Vec3.FORWARD);
    const distance = 1.75 * Math.max(spread, 0.3);
    const position = middle
        .clone()
        .sub(forward.normalize().mulScalar(distance))
        .add(up.clone().mulScalar(0.6 * distance));
    const rotation = lookRotation(new Vec3().sub2(middle, position), up);
    return { pose: { position, rotation }, lens: lensFromFov(60) };
}

function lensOf(source: Intrinsics & Record<string, unknown>, name: string): Lens {
    const { w = 0, h = 0, fl_x = 0, fl_y = fl_x, cx = w / 2, cy = h / 2 } = source;
    if (Math.min(w, h, fl_x, fl_y) <= 0) {
        throw badCameras(`${name} needs positive w, h and fl_x`);
    }
    const distorted = DISTORTIONS.find((key) => source[key]);
    if (distorted) {
        throw badCameras(`${name} has lens distortion (${distorted}); undistort its picture first`);
    }
    return { fx: fl_x, fy: fl_y, cx, cy, width: w, height: h };
}

function checkRotation(frame: CameraFrame, name: string): void {
    const columns = [0, 1, 2].map((column) => {
        const entry = (row: number) => frame.transform_matrix[row]?.[column] ?? Number.NaN;
        return new Vec3(entry(0), entry(1), entry(2));
    }) as [Vec3, Vec3, Vec3];
    const [x, y, z] = columns;
    const products = [x.dot(y), y.dot(z), z.dot(x), x.dot(x) - 1, y.dot(y) - 1, z.dot(z) - 1];
    const mirrored = new Vec3().cross(x, y).dot(z) < 0;
    const affine = frame.transform_matrix[3].join() === '0,0,0,1';
    if (!affine || mirrored || products.some((p) => Math.abs(p) > ROTATION_TOLERANCE)) {
        throw badCameras(`the pose of ${name} is not a rotation and a translation`);
    }
}

function badCameras(reason: string): ViewerError {
    return new ViewerError('bad-cameras', `The camera file cannot be used: ${reason}.`);
}
