import assert from 'node:assert/strict';
import test from 'node:test';
import { Quat, Vec3 } from 'playcanvas';
import { colorOf, overviewOf, parseCameras, upOf, type ViewCamera } from '../src/cameras.ts';
import { ViewerError } from '../src/errors.ts';
import { inkOn } from '../src/frustums.ts';
import { lookRotation, projectPoint } from '../src/geometry.ts';
import { assertClose, entries } from './close.ts';

const BASE = 'http://127.0.0.1/scene/transforms.json';
const ROWS = [
    [1, 0, 0, 0.5],
    [0, -1, 0, 0],
    [0, 0, -1, 0],
    [0, 0, 0, 1],
];
const FILE = { w: 96, h: 72, fl_x: 100, frames: [{ transform_matrix: ROWS }] };

function refusal(file: unknown): string {
    try {
        parseCameras(file, BASE);
    } catch (error) {
        assert.ok(error instanceof ViewerError);
        assert.equal(error.code, 'bad-cameras');
        return error.message;
    }
    throw new assert.AssertionError({ message: 'the file was taken' });
}

test('shared intrinsics hold for all frames, a frame’s own come first', () => {
    const frames = [{ transform_matrix: ROWS }, { transform_matrix: ROWS, fl_x: 50, cx: 40 }];
    const [first, second] = parseCameras({ ...FILE, frames }, BASE);
    const shared = { fx: 100, fy: 100, cx: 48, cy: 36, width: 96, height: 72 };
    assert.deepEqual(first?.lens, shared);
    assert.deepEqual(second?.lens, { ...shared, fx: 50, fy: 50, cx: 40 });
});

test('pictures are found beside the file, colours can be given', () => {
    const frames = [{ transform_matrix: ROWS, file_path: 'frames/000.png' }];
    const [camera] = parseCameras({ ...FILE, frames }, BASE, ['#123456']);
    assert.equal(camera?.frame, 'http://127.0.0.1/scene/frames/000.png');
    assert.equal(camera?.color, '#123456');
    assert.equal(parseCameras(FILE, BASE)[0]?.frame, null);
});

test('a file that cannot be used is refused with the reason', () => {
    assert.match(refusal([]), /must be object/);
    assert.match(refusal({}), /lacks frames/);
    assert.match(refusal({ frames: [{ transform_matrix: ROWS }] }), /camera 1 needs positive w/);
    assert.match(refusal({ ...FILE, fl_y: -1 }), /camera 1 needs positive/);
    assert.match(refusal({ ...FILE, k1: 0.1 }), /lens distortion \(k1\)/);
    assert.match(refusal({ ...FILE, frames: [{ transform_matrix: ROWS.slice(1) }] }), /at least 4/);
    const scaled = ROWS.map((row, i) => (i < 3 ? row.map((value) => 2 * value) : row));
    const mirrored = [[-1, 0, 0, 0], ...ROWS.slice(1)];
    const projective = [...ROWS.slice(0, 3), [0, 0, 1, 1]];
    for (const rows of [scaled, mirrored, projective]) {
        const frames = [{ transform_matrix: ROWS }, { transform_matrix: rows }];
        assert.match(refusal({ ...FILE, frames }), /the pose of camera 2 is not a rotation/);
    }
    const frames = new Array(1001).fill({ transform_matrix: ROWS });
    assert.match(refusal({ ...FILE, frames }), /1001 cameras/);
});

test('every camera has a colour of its own', () => {
    const colors = Array.from({ length: 60 }, (_, index) => colorOf(index));
    assert.equal(new Set(colors).size, 60);
    for (const color of colors) assert.match(color, /^#[0-9a-f]{6}$/);
});

test('numbers on a colour are black or white, whichever reads better', () => {
    assert.equal(inkOn('#ffd500'), '#000000');
    assert.equal(inkOn('#911eb4'), '#ffffff');
});

function lookingAt(target: Vec3, positions: Vec3[], up: Vec3): ViewCamera[] {
    return positions.map((position) => {
        const rotation = lookRotation(new Vec3().sub2(target, position), up);
        const lens = { fx: 1, fy: 1, cx: 0.5, cy: 0.5, width: 1, height: 1 };
        return { pose: { position, rotation }, lens, color: '#000000', frame: null };
    });
}

test('level cameras that look down agree on the true upward direction', () => {
    const up = new Vec3(0.2, 0.9, -0.4).normalize();
    const turn = new Quat().setFromDirections(Vec3.UP, up);
    const positions = [0, 20, 40, 60].map((degrees) => {
        const angle = (degrees * Math.PI) / 180;
        return turn.transformVector(new Vec3(Math.sin(angle), 1, Math.cos(angle)), new Vec3());
    });
    const estimate = upOf(lookingAt(new Vec3(), positions, up));
    // The mean of their y axes leans by 45 degrees; the weight on it leaves one or two.
    assert.ok(estimate.dot(up) > Math.cos((3 * Math.PI) / 180), `${estimate}`);
});

test('cameras with one heading share their own upward direction', () => {
    const up = new Vec3(0, 1, 0);
    const cameras = lookingAt(new Vec3(0, 0, -5), [new Vec3(), new Vec3(0, 0, -1)], up);
    assertClose(entries(upOf(cameras)), [0, 1, 0], 1e-5);
    assertClose(entries(upOf([])), [0, 1, 0]);
});

test('the overview has every camera in the picture', () => {
    const canvas = { width: 400, height: 300 };
    const around = [0, 90, 180, 270].map((degrees) => {
        const angle = (degrees * Math.PI) / 180;
        return new Vec3(2 * Math.sin(angle), 0.5, 2 * Math.cos(angle));
    });
    const onTheSpot = [new Vec3(1, 1, 1), new Vec3(1, 1, 1)];
    for (const positions of [around, onTheSpot]) {
        const cameras = lookingAt(new Vec3(), positions, Vec3.UP);
        const { pose, lens } = overviewOf(cameras);
        for (const camera of cameras) {
            const seen = projectPoint(camera.pose.position, pose, lens, canvas);
            assert.ok(seen && seen.x > 20 && seen.x < 380 && seen.y > 20 && seen.y < 280);
        }
    }
});
