import assert from 'node:assert/strict';
import test from 'node:test';
import { Quat, Vec3 } from 'playcanvas';
import { Bounds, resisted } from '../src/bounds.ts';
import type { ViewCamera } from '../src/cameras.ts';
import { lensFromFov, lookRotation } from '../src/geometry.ts';
import { CameraRig } from '../src/rig.ts';
import { assertClose, entries } from './close.ts';

const FOCUS = new Vec3(0, 0, -4);
const DEGREE = Math.PI / 180;

function cameraAt(position: Vec3, target = FOCUS): ViewCamera {
    const rotation = lookRotation(new Vec3().sub2(target, position), Vec3.UP);
    return { pose: { position, rotation }, lens: lensFromFov(60), color: '#000000', frame: null };
}

/** Cameras on an arc about the focus, from −30° to 30°. */
const ARC = [-30, -15, 0, 15, 30].map((angle) => {
    const offset = new Quat()
        .setFromAxisAngle(Vec3.UP, angle)
        .transformVector(new Vec3(0, 0, 4), new Vec3());
    return cameraAt(offset.add(FOCUS));
});

function newRig(cameras: readonly ViewCamera[], free = false): CameraRig {
    const rig = new CameraRig();
    rig.still = true;
    rig.free = free;
    rig.setSurroundings({
        center: FOCUS,
        radius: 2,
        up: Vec3.UP,
        focusDistance: ({ position }) => position.distance(FOCUS),
        bounds: new Bounds(cameras, FOCUS, Vec3.UP),
    });
    rig.show({ pose: (cameras[2] as ViewCamera).pose, lens: lensFromFov(60) }, true);
    return rig;
}

function yawOf(rig: CameraRig): number {
    const offset = new Vec3().sub2(rig.view().pose.position, FOCUS);
    return Math.atan2(offset.x, offset.z) / DEGREE;
}

test('a step within a range is whole, beyond it ever shorter, and back it is whole again', () => {
    const range = [-1, 1] as const;
    assert.equal(resisted(0, 0.5, range), 0.5);
    assert.equal(resisted(0, -0.5, range), -0.5);
    let value = 1;
    let last = Infinity;
    for (let i = 0; i < 50; i++) {
        const next = resisted(value, 0.02, range);
        assert.ok(next >= value && next - value <= last);
        last = next - value;
        value = next;
    }
    assert.ok(value < 1 + 8.01 * DEGREE, `${value}`);
    assertClose([resisted(value, -0.3, range)], [value - 0.3]);
});

test('however far the hand turns, the view stays where the cameras saw something', () => {
    for (const sign of [1, -1]) {
        const rig = newRig(ARC);
        for (let i = 0; i < 200; i++) rig.turn(sign * 0.1, 0.05);
        rig.update(1);
        assert.ok(Math.abs(yawOf(rig)) <= 50.01 && Math.abs(yawOf(rig)) > 42, `${yawOf(rig)}`);
        const { position } = rig.view().pose;
        assertClose([position.distance(FOCUS)], [4]);
        assert.ok(Math.abs(position.y) < 4 * Math.sin(20.1 * DEGREE));
    }
});

test('a free view goes all around', () => {
    const rig = newRig(ARC, true);
    rig.turn(Math.PI, 0);
    rig.update(1);
    assertClose(entries(rig.view().pose.position), [0, 0, -8], 1e-4);
});

test('coming closer and going away end where pictures would break up', () => {
    const rig = newRig(ARC);
    for (let i = 0; i < 60; i++) rig.zoom(1.2);
    rig.update(1);
    assertClose([rig.view().pose.position.distance(FOCUS)], [0.6 * 4], 1e-4);
    for (let i = 0; i < 60; i++) rig.zoom(1 / 1.2);
    rig.update(1);
    assertClose([rig.view().pose.position.distance(FOCUS)], [1.5 * 4], 1e-4);
});

test('a flight ends around the cameras and goes slower towards what it looks at', () => {
    const rig = newRig(ARC);
    rig.mode = 'fly';
    const start = rig.view().pose.position.clone();
    rig.fly(0, 0, 1, 0.5);
    rig.update(1);
    const first = rig.view().pose.position.distance(start);
    for (let i = 0; i < 400; i++) rig.fly(1, 0, 0, 0.1);
    rig.update(1);
    const reach = Math.min(
        ...ARC.map(({ pose }) => pose.position.distance(rig.view().pose.position)),
    );
    assert.ok(reach <= 0.75 * 4 + 1e-4, `${reach}`);
    // Half a second of flight is far from the subject.
    assert.ok(first > 0 && first < 0.25 * 4, `${first}`);
});

test('cameras all around are no limit', () => {
    const ring = Array.from({ length: 12 }, (_, i) => {
        const offset = new Quat()
            .setFromAxisAngle(Vec3.UP, 30 * i)
            .transformVector(new Vec3(0, 0, 4), new Vec3());
        return cameraAt(offset.add(FOCUS));
    });
    const angles = new Bounds(ring, FOCUS, Vec3.UP).turn({ yaw: 0, pitch: 0 }, 50, 0, true);
    assertClose([angles.yaw], [50]);
});
