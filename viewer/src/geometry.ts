/**
 * Frames, poses and pinhole lenses.
 *
 * Three frames meet here. The *scene* frame is that of the file: OpenCV's world of view 1, +y down.
 * The *stage* frame is where the engine draws: the scene turned half about z, so that +y is up. A
 * *camera* looks along −z with +y up, in either frame (OpenGL axes, as in `transforms.json`).
 */

import { Mat4, Quat, Vec3 } from 'playcanvas';
import type { Matrix4 } from './protocol.ts';

/** Where a camera is: its centre, and its rotation camera→stage. */
export interface Pose {
    position: Vec3;
    rotation: Quat;
}

/** Pinhole intrinsics, in pixels of a `width` × `height` picture; pixel centres at +0.5. */
export interface Lens {
    fx: number;
    fy: number;
    cx: number;
    cy: number;
    width: number;
    height: number;
}

export interface View {
    pose: Pose;
    lens: Lens;
}

export interface Size {
    width: number;
    height: number;
}

/** A rectangle on a canvas, in the canvas' unit, from its top left corner. */
export interface Rectangle extends Size {
    left: number;
    top: number;
}

/** The half turn about z with which the engine's viewer places a scene; its own inverse. */
const SCENE_TO_STAGE = new Quat(0, 0, 1, 0);

/** Scene point → stage point, and back. */
export function turnPoint(point: Vec3): Vec3 {
    return SCENE_TO_STAGE.transformVector(point, new Vec3());
}

/** Camera→scene matrix → pose on the stage. */
export function poseFromMatrix(rows: Matrix4): Pose {
    const columns = rows[0].flatMap((_, column) => rows.map((row) => row[column] as number));
    const matrix = new Mat4().set(columns);
    return {
        position: turnPoint(matrix.getTranslation()),
        rotation: new Quat().mul2(SCENE_TO_STAGE, new Quat().setFromMat4(matrix)).normalize(),
    };
}

/** Pose on the stage → camera→scene matrix. */
export function matrixFromPose(pose: Pose): Matrix4 {
    const rotation = new Quat().mul2(SCENE_TO_STAGE, pose.rotation);
    const { data } = new Mat4().setTRS(turnPoint(pose.position), rotation, Vec3.ONE);
    const entry = (row: number, column: number) => data[column * 4 + row] as number;
    return [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => entry(row, column))) as Matrix4;
}

export function clonePose(pose: Pose): Pose {
    return { position: pose.position.clone(), rotation: pose.rotation.clone() };
}

/** The axes of a camera on the stage. */
export function axesOf(rotation: Quat): { right: Vec3; up: Vec3; forward: Vec3 } {
    return {
        right: rotation.transformVector(Vec3.RIGHT, new Vec3()),
        up: rotation.transformVector(Vec3.UP, new Vec3()),
        forward: rotation.transformVector(Vec3.FORWARD, new Vec3()),
    };
}

/** Between two poses: straight line, shortest rotation; `fraction` 0 is `a`. */
export function mixPoses(a: Pose, b: Pose, fraction: number): Pose {
    return {
        position: new Vec3().lerp(a.position, b.position, fraction),
        rotation: new Quat().slerp(a.rotation, b.rotation, fraction),
    };
}

/** Between two lenses, `fraction` 0 is `a`; what is mixed is their effect on one canvas. */
export function mixLenses(a: Lens, b: Lens, fraction: number, canvas: Size): Lens {
    const [from, to] = [a, b].map((lens) => lensOnCanvas(lens, canvas)) as [Lens, Lens];
    const mix = (name: keyof Lens) => from[name] + (to[name] - from[name]) * fraction;
    return {
        fx: mix('fx'),
        fy: mix('fy'),
        cx: mix('cx'),
        cy: mix('cy'),
        width: canvas.width,
        height: canvas.height,
    };
}

/** The largest rectangle of the lens' aspect ratio in the middle of the canvas. */
export function frameOnCanvas(lens: Size, canvas: Size): Rectangle {
    const scale = Math.min(canvas.width / lens.width, canvas.height / lens.height);
    const [width, height] = [lens.width * scale, lens.height * scale];
    return { left: (canvas.width - width) / 2, top: (canvas.height - height) / 2, width, height };
}

/** A picture is cropped to fill the canvas, but not to less than this part of its height or width. */
const LEAST_SHOWN = 0.65;

/** The part of a lens' picture, about its middle, that fills the canvas as far as may be. */
export function cropToCanvas(lens: Lens, canvas: Size): Lens {
    const [across, down] = [canvas.width / lens.width, canvas.height / lens.height];
    const scale = Math.min(Math.max(across, down), Math.min(across, down) / LEAST_SHOWN);
    const width = Math.min(lens.width, canvas.width / scale);
    const height = Math.min(lens.height, canvas.height / scale);
    const [left, top] = [(lens.width - width) / 2, (lens.height - height) / 2];
    return { ...lens, cx: lens.cx - left, cy: lens.cy - top, width, height };
}

/** The lens in pixels of the canvas, when its picture fills `frameOnCanvas`. */
export function lensOnCanvas(lens: Lens, canvas: Size): Lens {
    const frame = frameOnCanvas(lens, canvas);
    const scale = frame.width / lens.width;
    return {
        fx: lens.fx * scale,
        fy: lens.fy * scale,
        cx: lens.cx * scale + frame.left,
        cy: lens.cy * scale + frame.top,
        width: canvas.width,
        height: canvas.height,
    };
}

/** The same focal lengths with the principal point in the middle, for a view that moves freely. */
export function centredLens(lens: Lens): Lens {
    return { ...lens, cx: lens.width / 2, cy: lens.height / 2 };
}

/** A lens by its field of view in degrees across the shorter side of the canvas. */
export function lensFromFov(degrees: number): Lens {
    const focal = 0.5 / Math.tan((degrees * Math.PI) / 360);
    return { fx: focal, fy: focal, cx: 0.5, cy: 0.5, width: 1, height: 1 };
}

/** Field of view in degrees across the shorter side of the canvas. */
export function fovOnCanvas(lens: Lens, canvas: Size): number {
    const { fy } = lensOnCanvas(lens, canvas);
    return (Math.atan(Math.min(canvas.width, canvas.height) / (2 * fy)) * 360) / Math.PI;
}

/** Write the OpenGL projection matrix of a lens, principal point included. */
export function setProjection(
    matrix: Mat4,
    lens: Lens,
    canvas: Size,
    near: number,
    far: number,
): void {
    const { fx, fy, cx, cy } = lensOnCanvas(lens, canvas);
    const { width, height } = canvas;
    // biome-ignore format: the columns of the matrix
    matrix.set([
        (2 * fx) / width, 0, 0, 0,
        0, (2 * fy) / height, 0, 0,
        1 - (2 * cx) / width, (2 * cy) / height - 1, (far + near) / (near - far), -1,
        0, 0, (2 * far * near) / (near - far), 0,
    ]);
}

/** Canvas coordinates of a stage point, and its depth along the view; null behind the camera. */
export function projectPoint(
    point: Vec3,
    pose: Pose,
    lens: Lens,
    canvas: Size,
): { x: number; y: number; depth: number } | null {
    const local = toCamera(point, pose);
    if (local.z >= 0) return null;
    const { fx, fy, cx, cy } = lensOnCanvas(lens, canvas);
    const depth = -local.z;
    return { x: (fx * local.x) / depth + cx, y: cy - (fy * local.y) / depth, depth };
}

/** Stage point → camera coordinates. */
export function toCamera(point: Vec3, pose: Pose): Vec3 {
    const inverse = new Quat().copy(pose.rotation).conjugate();
    return inverse.transformVector(new Vec3().sub2(point, pose.position), new Vec3());
}

/** Rotation that takes the stage's +y to `up`. */
export function levelTo(up: Vec3): Quat {
    return new Quat().setFromDirections(Vec3.UP, up);
}

/** Rotation of a camera that looks along `direction` with its top towards `up`. */
export function lookRotation(direction: Vec3, up: Vec3): Quat {
    const level = levelTo(up);
    const local = new Quat().copy(level).conjugate().transformVector(direction, new Vec3());
    const yaw = Math.atan2(-local.x, -local.z);
    const pitch = Math.atan2(local.y, Math.hypot(local.x, local.z));
    return level.mul(yawPitchRoll(yaw, pitch, 0));
}

/** Rotation about y, then about the turned x, then about the turned z; radians. */
export function yawPitchRoll(yaw: number, pitch: number, roll: number): Quat {
    const about = (axis: Vec3, angle: number) => {
        return new Quat().setFromAxisAngle(axis, (angle * 180) / Math.PI);
    };
    return about(Vec3.UP, yaw).mul(about(Vec3.RIGHT, pitch)).mul(about(Vec3.BACK, roll));
}

/** A view of a scene that came without cameras: from the front, slightly above. */
export function frontView(center: Vec3, radius: number): View {
    const position = new Vec3(0, 0.35, -2.4).mulScalar(radius).add(center);
    const rotation = lookRotation(new Vec3().sub2(center, position), Vec3.UP);
    return { pose: { position, rotation }, lens: lensFromFov(60) };
}
