import assert from 'node:assert/strict';
import test from 'node:test';
import { Mat4, Quat, Vec3, Vec4 } from 'playcanvas';
import {
    axesOf,
    cropToCanvas,
    fovOnCanvas,
    frameOnCanvas,
    type Lens,
    lensFromFov,
    matrixFromPose,
    mixLenses,
    poseFromMatrix,
    projectPoint,
    setProjection,
    turnPoint,
} from '../src/geometry.ts';
import type { Matrix4 } from '../src/protocol.ts';
import { assertClose, entries } from './close.ts';
import { randomNumbers, randomPose, randomVector } from './random.ts';

const LENS: Lens = { fx: 120, fy: 110, cx: 53, cy: 40, width: 96, height: 72 };

/** View 1 of a scene: OpenCV's identity, written with OpenGL camera axes. */
const FIRST_VIEW: Matrix4 = [
    [1, 0, 0, 0],
    [0, -1, 0, 0],
    [0, 0, -1, 0],
    [0, 0, 0, 1],
];

test('the scene is turned half about z, which is its own inverse', () => {
    assertClose(entries(turnPoint(new Vec3(1, 2, 3))), [-1, -2, 3]);
    const point = randomVector(randomNumbers(1));
    assertClose(entries(turnPoint(turnPoint(point))), entries(point));
});

test('view 1 looks along the scene’s z axis with the scene’s −y up', () => {
    const pose = poseFromMatrix(FIRST_VIEW);
    const { right, up, forward } = axesOf(pose.rotation);
    assertClose(entries(forward), entries(turnPoint(new Vec3(0, 0, 1))));
    assertClose(entries(up), entries(turnPoint(new Vec3(0, -1, 0))));
    assertClose(entries(right), entries(turnPoint(new Vec3(1, 0, 0))));
});

test('poses survive the way to a matrix and back', () => {
    const random = randomNumbers(2);
    for (let i = 0; i < 20; i++) {
        const pose = randomPose(random);
        const again = poseFromMatrix(matrixFromPose(pose));
        assertClose(entries(again.position), entries(pose.position));
        assert.ok(Math.abs(again.rotation.dot(pose.rotation)) > 1 - 1e-6);
    }
});

test('a canvas of the picture’s size shows a point where OpenCV’s pinhole puts it', () => {
    const random = randomNumbers(3);
    const pose = poseFromMatrix(FIRST_VIEW);
    const canvas = { width: LENS.width, height: LENS.height };
    for (let i = 0; i < 20; i++) {
        const point = randomVector(random).add(new Vec3(0, 0, 3));
        const seen = projectPoint(turnPoint(point), pose, LENS, canvas);
        const x = (LENS.fx * point.x) / point.z + LENS.cx;
        const y = (LENS.fy * point.y) / point.z + LENS.cy;
        assertClose([seen?.x ?? NaN, seen?.y ?? NaN, seen?.depth ?? NaN], [x, y, point.z], 1e-4);
    }
    assert.equal(projectPoint(turnPoint(new Vec3(0, 0, -1)), pose, LENS, canvas), null);
});

test('the projection matrix agrees with the pinhole on canvases of any shape', () => {
    const random = randomNumbers(4);
    const matrix = new Mat4();
    const pose = { position: new Vec3(), rotation: new Quat() };
    for (const canvas of [
        { width: 96, height: 72 },
        { width: 1000, height: 300 },
        { width: 390, height: 844 },
    ]) {
        setProjection(matrix, LENS, canvas, 0.1, 50);
        const point = randomVector(random).sub(new Vec3(0, 0, 3));
        const clip = matrix.transformVec4(new Vec4(point.x, point.y, point.z, 1));
        const x = ((clip.x / clip.w + 1) / 2) * canvas.width;
        const y = ((1 - clip.y / clip.w) / 2) * canvas.height;
        const seen = projectPoint(point, pose, LENS, canvas);
        assertClose([x, y], [seen?.x ?? NaN, seen?.y ?? NaN], 1e-3);
    }
    const depthOf = (z: number) => {
        const clip = matrix.transformVec4(new Vec4(0, 0, z, 1));
        return clip.z / clip.w;
    };
    assertClose([depthOf(-0.1), depthOf(-50)], [-1, 1], 1e-4);
});

test('the frame is the largest of its shape, in the middle', () => {
    const wide = frameOnCanvas({ width: 96, height: 96 }, { width: 500, height: 300 });
    assert.deepEqual(wide, { left: 100, top: 0, width: 300, height: 300 });
    const tall = frameOnCanvas({ width: 200, height: 100 }, { width: 100, height: 300 });
    assert.deepEqual(tall, { left: 0, top: 125, width: 100, height: 50 });
});

test('the field of view is that of the shorter side', () => {
    for (const canvas of [
        { width: 640, height: 480 },
        { width: 390, height: 844 },
    ]) {
        assertClose([fovOnCanvas(lensFromFov(50), canvas)], [50]);
    }
});

test('mixing lenses begins and ends with what each shows', () => {
    const canvas = { width: 640, height: 480 };
    const point = new Vec3(0.3, -0.2, -2);
    const pose = { position: new Vec3(), rotation: new Quat() };
    const other = lensFromFov(70);
    for (const [fraction, lens] of [
        [0, LENS],
        [1, other],
    ] as const) {
        const mixed = projectPoint(point, pose, mixLenses(LENS, other, fraction, canvas), canvas);
        assert.deepEqual(mixed, projectPoint(point, pose, lens, canvas));
    }
});

test('a picture fills a canvas of another shape about its middle, unless too much were lost', () => {
    const square: Lens = { fx: 100, fy: 100, cx: 48, cy: 48, width: 96, height: 96 };
    const wide = cropToCanvas(square, { width: 300, height: 240 });
    assertClose([wide.width, wide.height], [96, 76.8]);
    assertClose([wide.cx, wide.cy], [48, 38.4]);
    const { left, top, width, height } = frameOnCanvas(wide, { width: 300, height: 240 });
    assertClose([left, top, width, height], [0, 0, 300, 240]);
    // Of a picture on a cinema's canvas a part as high as 0.65 of it is seen, with margins.
    const widest = cropToCanvas(square, { width: 1000, height: 100 });
    assertClose([widest.width, widest.height], [96, 0.65 * 96]);
    assert.deepEqual(cropToCanvas(square, { width: 96, height: 96 }), square);
});
