/** Hands on the scene: mouse, touch, keyboard, gamepad. */

import type { CameraRig } from './rig.ts';

/** What input asks for, beyond moving the rig. */
export interface InputActions {
    /** A click or tap at a point of the surface, in its pixels. */
    click: (x: number, y: number, touch: boolean) => void;
    doubleClick: (x: number, y: number) => void;
    hover: (x: number, y: number) => void;
    /** A shortcut; true if it was one. */
    shortcut: (key: string, shift: boolean) => boolean;
    /** The wheel was turned while it belongs to the page around. */
    wheelIgnored: () => void;
    ownsWheel: () => boolean;
    /** A finger woke the surface of a viewer in another page, which scrolled under it before. */
    woken: () => void;
}

interface Held {
    x: number;
    y: number;
    button: number;
    shift: boolean;
}

/** Radians per width of the surface's shorter side. */
const TURN_PER_SIDE = 0.7 * Math.PI;
const TURN_PER_SECOND = 1.4;
/** A pointer that moved less than this far, in pixels, has clicked. */
const CLICK_SLACK = 5;
const DOUBLE_CLICK_MS = 350;
const STICK_DEADZONE = 0.15;
/** Shift makes flying this much faster, Alt this much slower. */
const FAST = 4;
const SLOW = 0.25;

const MOVE_KEYS = new Set([
    'KeyW',
    'KeyA',
    'KeyS',
    'KeyD',
    'KeyQ',
    'KeyE',
    'ArrowUp',
    'ArrowDown',
    'ArrowLeft',
    'ArrowRight',
    'Equal',
    'Minus',
    'NumpadAdd',
    'NumpadSubtract',
]);

export class SurfaceInput {
    readonly #surface: HTMLElement;
    readonly #rig: CameraRig;
    readonly #actions: InputActions;
    readonly #pointers = new Map<number, Held>();
    readonly #keys = new Set<string>();
    /** Pressed since the last frame: a key that is down for less than a frame still counts. */
    readonly #tapped = new Set<string>();
    #travelled = 0;
    #lastClick = { time: 0, x: 0, y: 0 };
    #fast = false;
    #slow = false;
    /** Deflection of the on-screen stick, from −1 to 1. */
    readonly stick = { x: 0, y: 0 };

    /** @param root where keys count: the surface and the controls around it */
    constructor(surface: HTMLElement, root: HTMLElement, rig: CameraRig, actions: InputActions) {
        this.#surface = surface;
        this.#rig = rig;
        this.#actions = actions;
        surface.addEventListener('pointerdown', (event) => this.#onDown(event));
        surface.addEventListener('pointermove', (event) => this.#onMove(event));
        surface.addEventListener('pointerup', (event) => this.#onUp(event));
        surface.addEventListener('pointercancel', (event) =>
            this.#pointers.delete(event.pointerId),
        );
        // One finger scrolls the page around until the viewer is tapped, and again once left.
        this.#setAwake(window.parent === window);
        window.addEventListener('blur', () => this.#setAwake(window.parent === window));
        surface.addEventListener('wheel', (event) => this.#onWheel(event), { passive: false });
        surface.addEventListener('contextmenu', (event) => event.preventDefault());
        root.addEventListener('keydown', (event) => this.#onKeyDown(event));
        root.addEventListener('keyup', (event) => this.#onKeyUp(event));
        root.addEventListener('focusout', () => this.#keys.clear());
        window.addEventListener('blur', () => this.#keys.clear());
    }

    /** Apply what is held down for another `seconds`. */
    update(seconds: number): void {
        this.#applyKeys(seconds);
        this.#applyStick(seconds);
        if (document.hasFocus()) this.#applyGamepad(seconds);
    }

    #setAwake(awake: boolean): void {
        this.#surface.classList.toggle('awake', awake);
    }

    get #awake(): boolean {
        return this.#surface.classList.contains('awake');
    }

    #onDown(event: PointerEvent): void {
        // The browser takes the pointer of a scroll away; a tap comes back as `pointerup`.
        if (this.#awake || event.pointerType !== 'touch') {
            this.#surface.setPointerCapture(event.pointerId);
        }
        if (this.#pointers.size === 0) this.#travelled = 0;
        const { button, shiftKey: shift } = event;
        this.#pointers.set(event.pointerId, { ...this.#local(event), button, shift });
    }

    #onMove(event: PointerEvent): void {
        const held = this.#pointers.get(event.pointerId);
        const { x, y } = this.#local(event);
        if (!held) {
            this.#actions.hover(x, y);
            return;
        }
        const [dx, dy] = [x - held.x, y - held.y];
        const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
        this.#travelled += Math.hypot(dx, dy);
        if (event.pointerType === 'touch' && !this.#awake && !other) {
            // The page's.
        } else if (other) this.#pinch(held, other, x, y);
        else if (this.#travelled > CLICK_SLACK) this.#drag(held, dx, dy);
        held.x = x;
        held.y = y;
    }

    #drag(held: Held, dx: number, dy: number): void {
        const side = this.#side();
        if (held.button === 0 && !held.shift) {
            // The hand drags what it sees: around the focus in orbit mode, past oneself in fly mode.
            const angle = (this.#rig.mode === 'orbit' ? -TURN_PER_SIDE : TURN_PER_SIDE / 3) / side;
            this.#rig.turn(dx * angle, dy * angle);
        } else {
            this.#rig.pan(-dx / side, dy / side);
        }
    }

    #pinch(held: Held, other: Held, x: number, y: number): void {
        const before = Math.hypot(held.x - other.x, held.y - other.y);
        const after = Math.hypot(x - other.x, y - other.y);
        // Each of the two fingers moves their middle by half.
        const side = 2 * this.#side();
        this.#rig.pan(-(x - held.x) / side, (y - held.y) / side);
        if (before > 0 && after > 0) this.#rig.zoom(after / before);
    }

    #onUp(event: PointerEvent): void {
        const held = this.#pointers.get(event.pointerId);
        this.#pointers.delete(event.pointerId);
        if (!held || this.#pointers.size > 0) return;
        if (this.#travelled > CLICK_SLACK || held.button !== 0) return;
        const { x, y } = held;
        if (event.pointerType === 'touch' && !this.#awake) {
            this.#setAwake(true);
            this.#surface.focus({ preventScroll: true });
            this.#actions.woken();
            return;
        }
        const last = this.#lastClick;
        const again = event.timeStamp - last.time < DOUBLE_CLICK_MS;
        if (again && Math.hypot(x - last.x, y - last.y) < 4 * CLICK_SLACK) {
            this.#lastClick = { time: 0, x: 0, y: 0 };
            this.#actions.doubleClick(x, y);
        } else {
            this.#lastClick = { time: event.timeStamp, x, y };
            this.#actions.click(x, y, event.pointerType === 'touch');
        }
    }

    #onWheel(event: WheelEvent): void {
        if (!this.#actions.ownsWheel()) {
            this.#actions.wheelIgnored();
            return;
        }
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE;
        const pixels = lines ? event.deltaY * 30 : event.deltaY;
        // A pinch on a trackpad comes as a wheel with the Control key and smaller steps.
        const rate = event.ctrlKey ? 0.01 : 0.0015;
        this.#rig.zoom(Math.exp(Math.max(-150, Math.min(150, -pixels)) * rate));
    }

    #onKeyDown(event: KeyboardEvent): void {
        this.#fast = event.shiftKey;
        this.#slow = event.altKey;
        if (event.ctrlKey || event.metaKey || event.defaultPrevented) return;
        if (usesKeyItself(event)) return;
        if (MOVE_KEYS.has(event.code)) {
            this.#keys.add(event.code);
            this.#tapped.add(event.code);
            event.preventDefault();
        } else if (!event.altKey && this.#actions.shortcut(event.key, event.shiftKey)) {
            event.preventDefault();
        }
    }

    #onKeyUp(event: KeyboardEvent): void {
        this.#fast = event.shiftKey;
        this.#slow = event.altKey;
        this.#keys.delete(event.code);
    }

    #applyKeys(seconds: number): void {
        const down = new Set([...this.#keys, ...this.#tapped]);
        this.#tapped.clear();
        if (down.size === 0) return;
        const axis = (plus: string, minus: string) => {
            return Number(down.has(plus)) - Number(down.has(minus));
        };
        const pace = seconds * (this.#fast ? FAST : 1) * (this.#slow ? SLOW : 1);
        const turn = TURN_PER_SECOND * seconds * (this.#slow ? SLOW : 1);
        const yaw = axis('ArrowLeft', 'ArrowRight');
        const pitch = axis('ArrowUp', 'ArrowDown');
        // The camera goes the arrow's way around the focus, or looks there.
        const sign = this.#rig.mode === 'orbit' ? -1 : 1;
        if (yaw || pitch) this.#rig.turn(sign * yaw * turn, sign * pitch * turn);
        const zoom = axis('Equal', 'Minus') || axis('NumpadAdd', 'NumpadSubtract');
        if (zoom) this.#rig.zoom(Math.exp(zoom * 1.5 * pace));
        const [right, up, forward] = [
            axis('KeyD', 'KeyA'),
            axis('KeyE', 'KeyQ'),
            axis('KeyW', 'KeyS'),
        ];
        if (right || up || forward) this.#rig.fly(right, up, forward, pace);
    }

    #applyStick(seconds: number): void {
        const { x, y } = this.stick;
        if (x || y) this.#rig.fly(x, 0, -y, seconds);
    }

    #applyGamepad(seconds: number): void {
        for (const pad of this.#gamepads()) {
            if (pad?.mapping !== 'standard') continue;
            const axis = (index: number) => {
                const value = pad.axes[index] ?? 0;
                return Math.abs(value) < STICK_DEADZONE ? 0 : value;
            };
            const trigger = (index: number) => pad.buttons[index]?.value ?? 0;
            const up = trigger(7) - trigger(6);
            if (axis(0) || axis(1) || up) this.#rig.fly(axis(0), up, -axis(1), seconds);
            const turn = TURN_PER_SECOND * seconds;
            if (axis(2) || axis(3)) this.#rig.turn(-axis(2) * turn, -axis(3) * turn);
            this.#pressGamepadButtons(pad);
        }
    }

    #gamepadsAllowed = true;

    /** Gamepads are read, as they send no events. */
    get hasGamepad(): boolean {
        return this.#gamepads().some((pad) => pad !== null);
    }

    /** A page may be framed where gamepads are not allowed; asking for them is an error there. */
    #gamepads(): readonly (Gamepad | null)[] {
        if (!this.#gamepadsAllowed) return [];
        try {
            return navigator.getGamepads();
        } catch {
            this.#gamepadsAllowed = false;
            return [];
        }
    }

    readonly #pressed = new Set<number>();

    #pressGamepadButtons(pad: Gamepad): void {
        const keys: Record<number, string> = {
            0: 'b',
            1: 'r',
            2: 'x',
            3: 'm',
            4: '[',
            5: ']',
            9: ' ',
        };
        for (const [index, key] of Object.entries(keys)) {
            const button = Number(index);
            const down = pad.buttons[button]?.pressed ?? false;
            if (down && !this.#pressed.has(button)) this.#actions.shortcut(key, false);
            if (down) this.#pressed.add(button);
            else this.#pressed.delete(button);
        }
    }

    #local(event: PointerEvent): { x: number; y: number } {
        const { left, top } = this.#surface.getBoundingClientRect();
        return { x: event.clientX - left, y: event.clientY - top };
    }

    #side(): number {
        return Math.min(this.#surface.clientWidth, this.#surface.clientHeight) || 1;
    }
}

/** Whether the focused control needs this key: typing, sliders, buttons. */
function usesKeyItself(event: KeyboardEvent): boolean {
    const target = event.target as HTMLElement;
    const isButton = target.closest('button, summary, a') !== null;
    if (isButton) return event.key === ' ' || event.key === 'Enter';
    const isSlider = target instanceof HTMLInputElement && target.type === 'range';
    if (isSlider) return /^(Arrow|Page|Home|End)/.test(event.key);
    const isChoice = target instanceof HTMLInputElement && target.type === 'radio';
    if (isChoice) return /^Arrow/.test(event.key) || event.key === ' ';
    return target instanceof HTMLInputElement && target.type === 'checkbox' && event.key === ' ';
}
