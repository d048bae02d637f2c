/** The buttons along the edges. */

import {
    Camera,
    CircleDot,
    CircleQuestionMark,
    Glasses,
    type IconNode,
    Maximize,
    Minimize,
    Pyramid,
    RectangleGoggles,
    Rotate3d,
    RotateCcw,
    Send,
    SlidersHorizontal,
    Square,
    SquareSplitHorizontal,
} from 'lucide';
import { html, icon, setAttributes } from './dom.ts';
import type { NavigationMode } from './protocol.ts';
import type { Commands, UiState } from './state.ts';

/** A square button with an icon; its name shows beside it under the pointer. */
export function iconButton(
    node: IconNode,
    label: string,
    key: string | null,
    onClick: () => void,
): HTMLButtonElement {
    const button = html(
        'button',
        {
            type: 'button',
            class: 'icon-button',
            'aria-label': label,
            'aria-keyshortcuts': key,
            'data-tip': key ? `${label} (${key})` : label,
        },
        icon(node),
    );
    button.addEventListener('click', onClick);
    return button;
}

export class Toolbar {
    readonly modes: HTMLElement;
    readonly actions: HTMLElement;
    readonly #modeButtons: Record<NavigationMode, HTMLButtonElement>;
    readonly #compare: HTMLButtonElement;
    readonly #frustums: HTMLButtonElement;
    readonly #screenshot: HTMLButtonElement;
    readonly #fullscreen: HTMLButtonElement;
    readonly #record: HTMLButtonElement;
    readonly #vr: HTMLButtonElement;
    readonly #ar: HTMLButtonElement;
    readonly settings: HTMLButtonElement;
    readonly #count = html('span', { class: 'count' });

    constructor(commands: Commands) {
        this.#modeButtons = {
            orbit: modeButton(Rotate3d, 'Orbit', 'O', () => commands.setView({ mode: 'orbit' })),
            fly: modeButton(Send, 'Fly', 'F', () => commands.setView({ mode: 'fly' })),
        };
        const group = html('div', {
            class: 'segmented panel',
            role: 'group',
            'aria-label': 'Movement',
        });
        group.append(this.#modeButtons.orbit, this.#modeButtons.fly);
        this.modes = html('div', { class: 'corner' }, group, this.#count);

        this.#compare = iconButton(SquareSplitHorizontal, 'Compare with the frame', 'C', () => {
            commands.setView({ compare: !isPressed(this.#compare) });
        });
        this.#frustums = iconButton(Pyramid, 'Show cameras', 'X', () => {
            commands.setView({ frustums: !isPressed(this.#frustums) });
        });
        this.settings = iconButton(SlidersHorizontal, 'Display settings', 'M', () => {
            commands.toggleSettings();
        });
        this.#screenshot = iconButton(Camera, 'Save screenshot', null, () => {
            commands.saveScreenshot();
        });
        this.#record = iconButton(CircleDot, 'Record a path', null, () =>
            commands.toggleRecording(),
        );
        this.#fullscreen = iconButton(Maximize, 'Fullscreen', 'L', () =>
            commands.toggleFullscreen(),
        );
        this.#vr = iconButton(RectangleGoggles, 'Enter VR', null, () => commands.startXr('vr'));
        this.#ar = iconButton(Glasses, 'Enter AR', null, () => commands.startXr('ar'));
        for (const button of [this.#frustums, this.#screenshot, this.#record]) {
            button.classList.add('minor');
        }
        const reset = iconButton(RotateCcw, 'Reset view', 'R', () => commands.reset());
        const help = iconButton(CircleQuestionMark, 'Help and keys', '?', () =>
            commands.showHelp(),
        );
        this.actions = html(
            'div',
            { class: 'rail panel', role: 'group', 'aria-label': 'View' },
            reset,
            this.#compare,
            this.#frustums,
            this.settings,
            this.#screenshot,
            this.#record,
            this.#vr,
            this.#ar,
            this.#fullscreen,
            help,
        );
    }

    update(state: UiState): void {
        for (const [mode, button] of Object.entries(this.#modeButtons)) {
            button.setAttribute('aria-pressed', String(mode === state.view.mode));
        }
        const hasCameras = state.colors.length > 0;
        setPressed(this.#compare, state.view.compare);
        setPressed(this.#frustums, state.view.frustums);
        this.#compare.disabled = !state.hasFrame;
        this.#frustums.disabled = !hasCameras;
        this.#screenshot.disabled = !state.hasScene;
        this.#record.disabled = !state.hasScene;
        const record = state.recording ? 'Stop recording' : 'Record a path';
        setAttributes(this.#record, { 'aria-label': record, 'data-tip': record });
        setPressed(this.#record, state.recording);
        this.#record.replaceChildren(icon(state.recording ? Square : CircleDot));
        this.#fullscreen.hidden = !document.fullscreenEnabled;
        this.#vr.hidden = !state.canStartVr;
        this.#ar.hidden = !state.canStartAr;
        const label = state.fullscreen ? 'Leave fullscreen' : 'Fullscreen';
        setAttributes(this.#fullscreen, { 'aria-label': label, 'data-tip': `${label} (L)` });
        this.#fullscreen.replaceChildren(icon(state.fullscreen ? Minimize : Maximize));
        this.#count.textContent = state.hasScene
            ? `${state.splats.toLocaleString('en')} splats`
            : '';
    }
}

function modeButton(
    node: IconNode,
    label: string,
    key: string,
    onClick: () => void,
): HTMLButtonElement {
    const attributes = { type: 'button', class: 'segment', 'aria-keyshortcuts': key };
    const button = html('button', attributes, icon(node), label);
    button.addEventListener('click', onClick);
    return button;
}

function isPressed(button: HTMLButtonElement): boolean {
    return button.getAttribute('aria-pressed') === 'true';
}

function setPressed(button: HTMLButtonElement, pressed: boolean): void {
    button.setAttribute('aria-pressed', String(pressed));
}
