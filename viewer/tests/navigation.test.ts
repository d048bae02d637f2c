import assert from 'node:assert/strict';
import test from 'node:test';
import { Quat, Vec3 } from 'playcanvas';
import { colorOf, type ViewCamera } from '../src/cameras.ts';
import { lensFromFov } from '../src/geometry.ts';
import { Navigation } from '../src/navigation.ts';
import { ResolutionGovernor } from '../src/resolution.ts';
import { runShortcut } from '../src/shortcuts.ts';
import { type Commands, DEFAULT_VIEW, type UiState } from '../src/state.ts';
import { assertClose, entries } from './close.ts';

function row(count: number): ViewCamera[] {
    return Array.from({ length: count }, (_, index) => ({
        pose: { position: new Vec3(index, 0, 0), rotation: new Quat() },
        lens: lensFromFov(60),
        color: colorOf(index),
        frame: null,
    }));
}

function atCameras(count = 4): { navigation: Navigation; played: number[] } {
    const played: number[] = [];
    const navigation = new Navigation(() => played.push(navigation.t));
    navigation.useCameras(row(count));
    return { navigation, played };
}

/** Let time pass in steps of a display at 50 Hz. */
function pass(navigation: Navigation, seconds: number): void {
    for (let step = 0; step < Math.round(seconds * 50); step++) navigation.advance(0.02);
}

test('the flight goes through all cameras and stops at the last', () => {
    const { navigation, played } = atCameras();
    navigation.gotoCamera(0, true);
    navigation.play({ speed: 2 });
    pass(navigation, 1);
    assertClose([navigation.t], [2], 1e-9);
    assert.ok(navigation.playing);
    pass(navigation, 1);
    assert.equal(navigation.t, 3);
    assert.equal(navigation.camera, 3);
    assert.ok(!navigation.playing);
    assert.deepEqual(
        played,
        [...played].sort((a, b) => a - b),
    );
    navigation.play();
    assert.equal(navigation.t, 0);
});

test('a looping flight turns round at both ends', () => {
    const { navigation } = atCameras(3);
    navigation.seek(1.5);
    navigation.play({ loop: true });
    pass(navigation, 1);
    assertClose([navigation.t], [1.5], 1e-9);
    pass(navigation, 2);
    assertClose([navigation.t], [0.5], 1e-9);
    assert.ok(navigation.playing);
});

test('the hand stops the flight', () => {
    const { navigation } = atCameras();
    navigation.gotoCamera(0, true);
    navigation.play();
    pass(navigation, 0.5);
    navigation.rig.turn(0.1, 0);
    pass(navigation, 0.1);
    assert.ok(!navigation.playing);
    assert.equal(navigation.camera, null);
});

test('without motion the flight steps from camera to camera', () => {
    const { navigation } = atCameras();
    navigation.rig.still = true;
    navigation.gotoCamera(0);
    navigation.play();
    const seen = new Set<number>();
    for (let step = 0; step < 400; step++) {
        navigation.advance(0.01);
        seen.add(navigation.rig.view().pose.position.x);
    }
    assert.deepEqual([...seen], [0, 1, 2, 3]);
});

test('one is looking through a camera only once the way there is done', () => {
    const { navigation } = atCameras();
    navigation.gotoCamera(2);
    assert.equal(navigation.camera, 2);
    assert.equal(navigation.looking, null);
    pass(navigation, 1);
    assert.equal(navigation.looking, 2);
    assert.equal(navigation.lastCamera, 2);
    navigation.seek(2.6);
    assert.equal(navigation.looking, null);
    assert.equal(navigation.lastCamera, 3);
});

test('positions and starts beyond the path are its ends', () => {
    const { navigation } = atCameras();
    navigation.seek(99);
    assert.equal(navigation.t, 3);
    assert.throws(() => navigation.gotoCamera(4), RangeError);
    navigation.setStart(7, {
        pose: { position: new Vec3(), rotation: new Quat() },
        lens: lensFromFov(60),
    });
    navigation.reset(true);
    assert.equal(navigation.camera, 3);
});

test('new cameras leave the view where it is', () => {
    const { navigation } = atCameras();
    navigation.gotoCamera(3, true);
    navigation.useCameras(row(2));
    assertClose(entries(navigation.rig.view().pose.position), [3, 0, 0]);
    assert.equal(navigation.camera, null);
    assert.equal(navigation.lastCamera, 1);
    navigation.useCameras([]);
    navigation.seek(1);
    navigation.play();
    assert.ok(!navigation.playing);
});

test('slow graphics get a coarse picture while moving, and a sharp one at rest', () => {
    const governor = new ResolutionGovernor();
    let time = 1000;
    const frames = (count: number, milliseconds: number, moved: boolean) => {
        for (let i = 0; i < count; i++) {
            time += milliseconds;
            governor.frame(time, moved);
        }
    };
    governor.restart(time);
    frames(1, 16, false);
    assert.ok(governor.coarse, 'the first picture is coarse');
    frames(20, 16, false);
    assert.ok(!governor.coarse, 'then it is sharp');
    frames(50, 16, true);
    assert.ok(!governor.coarse, 'fast graphics stay sharp');
    frames(2, 80, true);
    frames(1, 16, true);
    frames(2, 80, true);
    assert.ok(!governor.coarse, 'a hiccup changes nothing');
    frames(1, 80, true);
    assert.ok(governor.coarse, 'three slow frames in a row do');
    frames(3, 80, false);
    assert.ok(!governor.coarse, 'rest makes it sharp again');
});

const STATE: UiState = {
    view: { ...DEFAULT_VIEW },
    background: 'theme',
    theme: 'auto',
    camera: 1,
    lastCamera: 1,
    colors: ['#000000', '#000001', '#000002'],
    hasFrame: false,
    playing: false,
    t: 1,
    hasScene: true,
    splats: 1,
    fullscreen: false,
    recording: false,
    canStartVr: false,
    canStartAr: false,
};

/** What a key asks for, as text; null if for nothing. */
function asked(key: string, shift = false, state: Partial<UiState> = {}): string | null {
    let said: string | null = null;
    const commands = new Proxy({} as Commands, {
        get:
            (_, name) =>
            (...values: unknown[]) => {
                said = `${String(name)} ${JSON.stringify(values)}`;
            },
    });
    const ran = runShortcut(key, shift, commands, { ...STATE, ...state });
    assert.equal(ran, said !== null);
    return said;
}

test('keys ask for what the help sheet says', () => {
    assert.equal(asked('3'), 'gotoCamera [2]');
    assert.equal(asked('4'), null);
    assert.equal(asked(']'), 'gotoCamera [2]');
    assert.equal(asked(']', false, { lastCamera: 2 }), 'gotoCamera [2]');
    assert.equal(asked('['), 'gotoCamera [0]');
    assert.equal(asked('b'), 'backToCamera []');
    assert.equal(asked(' '), 'togglePlaying []');
    assert.equal(asked('F'), 'setView [{"mode":"fly"}]');
    assert.equal(asked('p'), 'setView [{"points":true}]');
    assert.equal(asked('x'), 'setView [{"frustums":false}]');
    assert.equal(asked('?', true), 'showHelp []');
    assert.equal(asked('Escape'), 'escape []');
});

test('other keys are left to the page', () => {
    for (const key of ['z', 'Tab', 'Enter', 'constructor', 'F5']) assert.equal(asked(key), null);
    assert.equal(asked('R', true), null);
    assert.equal(asked('c'), null, 'nothing to compare with');
    assert.equal(asked('c', false, { hasFrame: true }), 'setView [{"compare":true}]');
    for (const key of [' ', 'b', '1']) assert.equal(asked(key, false, { colors: [] }), null);
});
