import assert from 'node:assert/strict';
import test from 'node:test';
import { Quat, Vec3 } from 'playcanvas';
import { axesOf, lensFromFov, lookRotation, type View } from '../src/geometry.ts';
import { CameraRig } from '../src/rig.ts';
import { angleBetween, assertClose, entries } from './close.ts';

const FOCUS = new Vec3(0, 0, -4);
const SECOND = 1;

function viewAt(position: Vec3, rotation = new Quat()): View {
    return { pose: { position, rotation }, lens: lensFromFov(60) };
}

function newRig(up = Vec3.UP): CameraRig {
    const rig = new CameraRig();
    rig.setSurroundings({
        center: FOCUS,
        radius: 2,
        up,
        focusDistance: ({ position }) => position.distance(FOCUS),
        bounds: null,
    });
    rig.show(viewAt(new Vec3()), true);
    return rig;
}

/** Let the view come to rest, in steps of a display at 60 Hz. */
function rest(rig: CameraRig, seconds = 2 * SECOND): void {
    for (let time = 0; time < seconds; time += 1 / 60) rig.update(1 / 60);
}

test('a held view is reached exactly, roll and lens included', () => {
    const rig = newRig();
    const rotation = new Quat().setFromEulerAngles(10, 40, 25);
    const lens = { fx: 100, fy: 90, cx: 30, cy: 50, width: 96, height: 96 };
    const view = { pose: { position: new Vec3(1, 2, 3), rotation }, lens };
    rig.holdTo({ kind: 'camera', camera: 3 }, view);
    assert.ok(rig.moving);
    rest(rig);
    assert.ok(!rig.moving);
    assert.deepEqual(rig.view(), view);
    assert.deepEqual(rig.hold, { kind: 'camera', camera: 3 });
});

test('the way to a held view starts where the view was and moves on', () => {
    const rig = newRig();
    rig.holdTo({ kind: 'camera', camera: 0 }, viewAt(new Vec3(2, 0, 0)));
    assertClose(entries(rig.view().pose.position), [0, 0, 0]);
    rest(rig, 0.35);
    const { x } = rig.view().pose.position;
    assert.ok(x > 0.5 && x < 1.5, `${x}`);
});

test('the hand takes over where the held view was, without a jump', () => {
    const rig = newRig();
    const rotation = new Quat().setFromEulerAngles(-20, 30, 15);
    rig.holdTo({ kind: 'camera', camera: 1 }, viewAt(new Vec3(0.5, 1, 0), rotation), true);
    rig.release();
    const { pose } = rig.view();
    assertClose(entries(pose.position), [0.5, 1, 0]);
    assert.ok(angleBetween(pose.rotation, rotation) < 1e-3);
    assert.equal(rig.hold.kind, 'free');
});

test('orbiting keeps the focus and the distance to it', () => {
    const rig = newRig();
    rig.turn(0.7, -0.4);
    rest(rig);
    const { pose } = rig.view();
    assertClose(entries(rig.focusPoint), entries(FOCUS), 1e-4);
    assertClose([pose.position.distance(FOCUS)], [4], 1e-4);
    // Turning to the left by 0.7 about −z moves the camera to the right of the focus.
    assert.ok(pose.position.x > 1 && pose.position.y > 0.5);
});

test('in fly mode turning stays on the spot', () => {
    const rig = newRig();
    rig.mode = 'fly';
    rig.turn(0.5, 0.2);
    rest(rig);
    const { pose } = rig.view();
    assertClose(entries(pose.position), [0, 0, 0]);
    const { forward } = axesOf(pose.rotation);
    assertClose(
        entries(forward),
        [-Math.sin(0.5) * Math.cos(0.2), Math.sin(0.2), -Math.cos(0.5) * Math.cos(0.2)],
        1e-4,
    );
});

test('zooming by two halves the distance to the focus', () => {
    const rig = newRig();
    rig.zoom(2);
    rest(rig);
    assertClose(entries(rig.view().pose.position), [0, 0, -2], 1e-4);
    assertClose(entries(rig.focusPoint), entries(FOCUS), 1e-4);
});

test('panning by the canvas’ side shifts by what it shows at the focus', () => {
    const rig = newRig();
    rig.pan(1, 0);
    rest(rig);
    const shown = 2 * 4 * Math.tan(Math.PI / 6);
    assertClose(entries(rig.view().pose.position), [shown, 0, 0], 1e-3);
});

test('flying has one speed in all directions, in distances to what one looks at', () => {
    const directions: [number, number, number][] = [
        [0, 0, 1],
        [1, 1, 1],
    ];
    for (const [right, up, forward] of directions) {
        const rig = newRig();
        rig.mode = 'fly';
        rig.fly(right, up, forward, SECOND);
        rest(rig);
        // The scene's radius is 2 and the focus, at 4, farther than that.
        assertClose([rig.view().pose.position.length()], [0.3 * 2], 1e-3);
    }
});

test('nobody gets lost far outside the scene', () => {
    const rig = newRig();
    rig.mode = 'fly';
    for (let i = 0; i < 1000; i++) rig.fly(0, 0, -1, SECOND);
    rest(rig);
    assertClose([rig.view().pose.position.distance(FOCUS)], [24], 1e-3);
});

test('looking straight up or down stops short of tumbling over', () => {
    const rig = newRig();
    rig.mode = 'fly';
    rig.turn(0, 10);
    rest(rig);
    const { up } = axesOf(rig.view().pose.rotation);
    assert.ok(up.y > 0);
});

test('a rolled view levels out once the hand turns it, and not before', () => {
    const rig = newRig();
    rig.mode = 'fly';
    rig.holdTo(
        { kind: 'camera', camera: 0 },
        viewAt(new Vec3(), new Quat().setFromEulerAngles(0, 0, 30)),
        true,
    );
    rig.release();
    rest(rig);
    assertClose([axesOf(rig.view().pose.rotation).right.y], [0.5], 1e-4);
    for (let i = 0; i < 300; i++) {
        rig.turn(0.01, 0);
        rig.update(1 / 60);
    }
    assertClose([axesOf(rig.view().pose.rotation).right.y], [0], 1e-3);
});

test('orbiting keeps to the cameras’ upward direction', () => {
    const up = new Vec3(1, 1, 0).normalize();
    const rig = newRig(up);
    rig.show(viewAt(new Vec3(), lookRotation(FOCUS, up)), true);
    rig.turn(1, 0);
    rest(rig);
    const { right } = axesOf(rig.view().pose.rotation);
    assertClose([right.dot(up)], [0], 1e-4);
    assertClose([rig.view().pose.position.dot(up)], [0], 1e-4);
});

test('without motion every change is immediate', () => {
    const rig = newRig();
    rig.still = true;
    rig.holdTo({ kind: 'camera', camera: 0 }, viewAt(new Vec3(2, 0, 0)));
    assertClose(entries(rig.view().pose.position), [2, 0, 0]);
    rig.zoom(2);
    rig.update(1 / 60);
    assertClose(entries(rig.view().pose.position), [2, 0, -Math.sqrt(20) / 2], 1e-4);
});

test('the view comes to rest exactly, so that drawing can stop', () => {
    const rig = newRig();
    rig.turn(0.3, 0.1);
    rig.zoom(1.5);
    rest(rig);
    const before = rig.view();
    rig.update(1 / 60);
    assert.deepEqual(rig.view(), before);
});

test('turning to a point orbits about it from then on', () => {
    const rig = newRig();
    const point = new Vec3(2, 1, -3);
    rig.focus(point);
    rest(rig);
    assertClose(entries(rig.focusPoint), entries(point), 1e-4);
    rig.turn(0.5, 0);
    rest(rig);
    assertClose([rig.view().pose.position.distance(point)], [point.length()], 1e-4);
});
