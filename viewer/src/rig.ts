/**
 * The camera that looks at the scene: free movement by hand, exact views of cameras, the flight
 * along them, and the way from one to the other.
 */

import { Quat, Vec3 } from 'playcanvas';
import type { Bounds } from './bounds.ts';
import {
    axesOf,
    centredLens,
    clonePose,
    cropToCanvas,
    type Lens,
    lensFromFov,
    levelTo,
    lookRotation,
    mixLenses,
    mixPoses,
    type Pose,
    type Size,
    type View,
    yawPitchRoll,
} from './geometry.ts';
import type { NavigationMode } from './protocol.ts';

/** What the view is held to. `free` follows the hand only. */
export type Hold =
    | { kind: 'free' }
    | { kind: 'camera'; camera: number }
    | { kind: 'path'; t: number };

/** The world as far as moving in it goes, in stage units. */
export interface Surroundings {
    center: Vec3;
    /** Half the size of the scene. */
    radius: number;
    /** Upward direction, which orbiting keeps. */
    up: Vec3;
    /** How far away what a camera looks at is. */
    focusDistance: (pose: Pose) => number;
    /** How far the hand may go; null for anywhere. */
    bounds: Bounds | null;
}

/** Free movement, in the frame whose y axis is `up`; angles in radians. */
interface FreeState {
    position: Vec3;
    yaw: number;
    pitch: number;
    roll: number;
    /** To the point that orbiting turns about. */
    distance: number;
}

const DEFAULT_FOV = 60;
const MAX_PITCH = (89 * Math.PI) / 180;
/** Seconds for a movement between two views. */
const TRANSITION_SECONDS = 0.7;
/** Rates per second at which the view catches up with the hand, and the horizon levels out. */
const CATCH_UP_RATE = 18;
const LEVEL_RATE = 3;
/** Fly speed, in distances to what one looks at per second: slower the nearer one is. */
const FLY_SPEED = 0.3;
/** Nearer than this many scene radii it gets no slower: one could not fly on through a surface. */
const SLOWEST_AT = 0.1;
/** How far from the middle of the scene one gets, in scene radii. */
const MAX_DISTANCE = 12;
const MIN_DISTANCE = 0.02;

export class CameraRig {
    mode: NavigationMode = 'orbit';
    /** Without glides and transitions, for people who asked their system for reduced motion. */
    still = false;
    /** Whether the hand may leave the bounds of the surroundings. */
    free = false;

    #surroundings: Surroundings = {
        center: new Vec3(),
        radius: 1,
        up: Vec3.UP.clone(),
        focusDistance: () => 1,
        bounds: null,
    };
    #level = new Quat();
    #target: FreeState;
    #state: FreeState;
    #lens: Lens = lensFromFov(DEFAULT_FOV);
    #hold: Hold = { kind: 'free' };
    #held: View | null = null;
    #transition: { from: View; seconds: number } | null = null;
    #canvas: Size = { width: 1, height: 1 };

    constructor() {
        this.#target = this.#freeStateOf({ position: new Vec3(0, 0, 3), rotation: new Quat() });
        this.#state = { ...this.#target, position: this.#target.position.clone() };
    }

    get hold(): Hold {
        return this.#hold;
    }

    /** Whether the view is on its way to where it is held. */
    get moving(): boolean {
        return this.#transition !== null;
    }

    get radius(): number {
        return this.#surroundings.radius;
    }

    setCanvas(canvas: Size): void {
        this.#canvas = canvas;
    }

    /** Tell where things are. The view stays as it is. */
    setSurroundings(surroundings: Surroundings): void {
        const pose = this.#freePose();
        this.#surroundings = surroundings;
        this.#level = levelTo(surroundings.up);
        if (this.#hold.kind === 'free') this.#settle(pose, this.#state.distance);
    }

    /** The view now. */
    view(): View {
        const goal = this.#heldView() ?? { pose: this.#freePose(), lens: this.#lens };
        if (!this.#transition) return goal;
        const { from, seconds } = this.#transition;
        const x = Math.min(seconds / TRANSITION_SECONDS, 1);
        const eased = x * x * (3 - 2 * x);
        return {
            pose: mixPoses(from.pose, goal.pose, eased),
            lens: mixLenses(from.lens, goal.lens, eased, this.#canvas),
        };
    }

    /** Hold the view to a camera or a position of the path. */
    holdTo(hold: Hold, view: View, instant = false): void {
        const from = this.view();
        this.#hold = hold;
        this.#held = view;
        this.#transition = instant || this.still ? null : { from, seconds: 0 };
    }

    /** Show a view that the hand can move on from. */
    show(view: View, instant = false): void {
        const from = this.view();
        this.#hold = { kind: 'free' };
        this.#held = null;
        this.#lens = view.lens;
        this.#settle(view.pose, this.#surroundings.focusDistance(view.pose));
        this.#transition = instant || this.still ? null : { from, seconds: 0 };
    }

    /** Let go of a held view; the hand moves on from it. */
    release(): void {
        if (this.#hold.kind === 'free' && !this.#transition) return;
        const { pose, lens } = this.view();
        this.#hold = { kind: 'free' };
        this.#held = null;
        this.#transition = null;
        this.#lens = lens;
        this.#settle(pose, this.#surroundings.focusDistance(pose));
    }

    /** Turn by angles in radians: about the focus in orbit mode, about oneself in fly mode. */
    turn(yaw: number, pitch: number): void {
        this.release();
        const target = this.#target;
        const focus = this.#focusOf(target);
        const from = { yaw: target.yaw, pitch: target.pitch };
        const bounds = this.#bounds;
        const to = bounds
            ? bounds.turn(from, yaw, pitch, this.mode === 'orbit')
            : { yaw: from.yaw + yaw, pitch: from.pitch + pitch };
        // Bounds may count the same yaw on another turn; the state must not spin there.
        target.yaw =
            from.yaw + Math.atan2(Math.sin(to.yaw - from.yaw), Math.cos(to.yaw - from.yaw));
        target.pitch = Math.min(Math.max(to.pitch, -MAX_PITCH), MAX_PITCH);
        if (this.mode === 'orbit') {
            const back = this.#rotationOf(target).transformVector(Vec3.BACK, new Vec3());
            target.position.copy(focus).add(back.mulScalar(target.distance));
        }
    }

    /** Shift sideways, by fractions of the canvas' shorter side. */
    pan(right: number, up: number): void {
        this.release();
        const extent = this.#extentAtFocus();
        this.#translate(right * extent, up * extent, 0);
    }

    /** Come closer by a factor (orbit), or the same way forward (fly). */
    zoom(factor: number): void {
        this.release();
        const target = this.#target;
        const least = MIN_DISTANCE * this.radius;
        const wanted = Math.max(target.distance / factor, least);
        const isOrbit = this.mode === 'orbit';
        const distance = isOrbit
            ? (this.#bounds?.distance(wanted, target.distance) ?? wanted)
            : wanted;
        this.#translate(0, 0, target.distance - distance);
        if (isOrbit) target.distance = distance;
    }

    /** Fly for `seconds` in a direction of the view, each part from −1 to 1. */
    fly(right: number, up: number, forward: number, seconds: number): void {
        this.release();
        const length = Math.max(1, Math.hypot(right, up, forward));
        const pose = { position: this.#target.position, rotation: this.#rotationOf(this.#target) };
        const ahead = Math.min(this.#surroundings.focusDistance(pose), this.radius);
        const pace = FLY_SPEED * Math.max(ahead, SLOWEST_AT * this.radius);
        const step = (pace * seconds) / length;
        this.#translate(right * step, up * step, forward * step);
    }

    /** Turn towards a point and orbit about it from now on. */
    focus(point: Vec3): void {
        const { pose, lens } = this.view();
        const rotation = lookRotation(new Vec3().sub2(point, pose.position), this.#surroundings.up);
        this.show({ pose: { position: pose.position, rotation }, lens: centredLens(lens) });
        const distance = Math.max(point.distance(pose.position), MIN_DISTANCE * this.radius);
        this.#target.distance = distance;
        this.#state.distance = distance;
    }

    /** The point that orbiting turns about. */
    get focusPoint(): Vec3 {
        return this.#focusOf(this.#state);
    }

    /** Let time pass. */
    update(seconds: number): void {
        if (this.#transition) {
            this.#transition.seconds += seconds;
            if (this.#transition.seconds >= TRANSITION_SECONDS) this.#transition = null;
        }
        if (this.#hold.kind !== 'free') return;
        const fraction = this.still ? 1 : 1 - Math.exp(-CATCH_UP_RATE * seconds);
        const { position, yaw, pitch, distance } = this.#target;
        const state = this.#state;
        const focus = this.#focusOf(state);
        state.yaw = approach(state.yaw, yaw, fraction);
        state.pitch = approach(state.pitch, pitch, fraction);
        state.distance = approach(state.distance, distance, fraction);
        if (this.mode === 'orbit') {
            // The focus moves straight and the position follows on its sphere: mixing positions
            // would cut the corner and pump the distance.
            focus.lerp(focus, this.#focusOf(this.#target), fraction);
            const back = this.#rotationOf(state).transformVector(Vec3.BACK, new Vec3());
            state.position.copy(focus).add(back.mulScalar(state.distance));
        } else {
            state.position.lerp(state.position, position, fraction);
        }
        if (state.position.distance(position) < 1e-5 * this.radius) state.position.copy(position);
        if (this.#touched()) this.#levelOut(seconds);
    }

    /** Whether the hand has moved the view since it was shown. */
    #touched(): boolean {
        const [a, b] = [this.#state, this.#target];
        return a.yaw !== b.yaw || a.pitch !== b.pitch || !a.position.equals(b.position);
    }

    /** Free movement has a level horizon and a centred lens; both come gently. */
    #levelOut(seconds: number): void {
        const fraction = this.still ? 1 : 1 - Math.exp(-LEVEL_RATE * seconds);
        this.#state.roll = approach(this.#state.roll, 0, fraction);
        const { cx, cy } = centredLens(this.#lens);
        this.#lens = {
            ...this.#lens,
            cx: approach(this.#lens.cx, cx, fraction),
            cy: approach(this.#lens.cy, cy, fraction),
        };
    }

    #translate(right: number, up: number, forward: number): void {
        const axes = axesOf(this.#rotationOf(this.#target));
        const { center, radius } = this.#surroundings;
        const position = this.#target.position;
        const before = position.clone();
        position
            .add(axes.right.mulScalar(right))
            .add(axes.up.mulScalar(up))
            .add(axes.forward.mulScalar(forward));
        const offset = new Vec3().sub2(position, center);
        const limit = MAX_DISTANCE * radius;
        if (offset.length() > limit) position.copy(offset.normalize().mulScalar(limit).add(center));
        this.#bounds?.confine(position, before);
    }

    get #bounds(): Bounds | null {
        return this.free ? null : this.#surroundings.bounds;
    }

    /** A camera's picture fills the canvas as far as may be, whatever the canvas' shape is now. */
    #heldView(): View | null {
        if (!this.#held) return null;
        return { pose: this.#held.pose, lens: cropToCanvas(this.#held.lens, this.#canvas) };
    }

    #extentAtFocus(): number {
        const lens = this.#lens;
        return (this.#target.distance * Math.min(lens.width, lens.height)) / lens.fy;
    }

    #settle(pose: Pose, distance: number): void {
        this.#target = this.#freeStateOf(pose, distance);
        this.#state = { ...this.#target, position: this.#target.position.clone() };
    }

    #freeStateOf(pose: Pose, distance = 1): FreeState {
        const local = new Quat().copy(this.#level).conjugate().mul(pose.rotation);
        const { forward, right } = axesOf(local);
        const yaw = Math.atan2(-forward.x, -forward.z);
        const pitch = Math.asin(Math.max(-1, Math.min(1, forward.y)));
        const level = axesOf(yawPitchRoll(yaw, pitch, 0));
        const roll = Math.atan2(right.dot(level.up), right.dot(level.right));
        return { position: pose.position.clone(), yaw, pitch, roll, distance };
    }

    #freePose(): Pose {
        return clonePose({
            position: this.#state.position,
            rotation: this.#rotationOf(this.#state),
        });
    }

    #rotationOf({ yaw, pitch, roll }: FreeState): Quat {
        return new Quat().mul2(this.#level, yawPitchRoll(yaw, pitch, roll));
    }

    #focusOf(state: FreeState): Vec3 {
        const { forward } = axesOf(this.#rotationOf(state));
        return forward.mulScalar(state.distance).add(state.position);
    }
}

/** Towards a value, and there exactly once the rest is invisible. */
function approach(from: number, to: number, fraction: number): number {
    const next = from + (to - from) * fraction;
    return Math.abs(next - to) < 1e-5 ? to : next;
}
