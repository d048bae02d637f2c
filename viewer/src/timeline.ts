/** The cameras in a row, and the flight along them. */

import { Pause, Play, Undo2 } from 'lucide';
import { html, icon, setAttributes } from './dom.ts';
import { inkOn } from './frustums.ts';
import type { Commands, UiState } from './state.ts';

/** More cameras than this have no room for buttons of their own. */
const MAX_BUTTONS = 12;

export class Timeline {
    readonly element: HTMLElement;
    readonly #commands: Commands;
    readonly #play: HTMLButtonElement;
    readonly #back: HTMLButtonElement;
    readonly #backLabel = html('span');
    readonly #track = html('div', { class: 'track' });
    readonly #slider: HTMLInputElement;
    #buttons: HTMLButtonElement[] = [];
    #colors = '';

    constructor(commands: Commands) {
        this.#commands = commands;
        this.#play = html('button', {
            type: 'button',
            class: 'icon-button play',
            'aria-keyshortcuts': 'Space',
        });
        this.#play.addEventListener('click', () => commands.togglePlaying());
        this.#back = html('button', { type: 'button', class: 'back', 'aria-keyshortcuts': 'B' });
        this.#back.append(icon(Undo2), this.#backLabel);
        this.#back.addEventListener('click', () => commands.backToCamera());
        this.#slider = html('input', {
            type: 'range',
            min: 0,
            step: 0.01,
            value: 0,
            'aria-label': 'Position along the cameras',
        });
        this.#slider.addEventListener('input', () => commands.seek(Number(this.#slider.value)));
        this.element = html(
            'div',
            { class: 'timeline panel', role: 'group', 'aria-label': 'Cameras' },
            this.#play,
            html('div', { class: 'tracks' }, this.#track, this.#slider),
            this.#back,
        );
    }

    update(state: UiState): void {
        const { colors, playing, t, camera, lastCamera } = state;
        this.element.hidden = colors.length === 0;
        if (colors.join() !== this.#colors) this.#rebuild(colors);
        const end = colors.length - 1;
        this.#play.disabled = end < 1;
        const label = playing ? 'Pause' : 'Fly along the cameras';
        setAttributes(this.#play, { 'aria-label': label, 'data-tip': `${label} (Space)` });
        if (this.#play.dataset.playing !== String(playing)) {
            this.#play.dataset.playing = String(playing);
            this.#play.replaceChildren(icon(playing ? Pause : Play));
        }
        for (const [index, button] of this.#buttons.entries()) {
            button.setAttribute('aria-pressed', String(index === camera));
        }
        this.#slider.disabled = end < 1;
        this.#slider.value = String(t);
        this.#slider.style.setProperty('--fraction', String(end > 0 ? t / end : 0));
        const whole = Number.isInteger(t);
        const between = `between cameras ${Math.floor(t) + 1} and ${Math.ceil(t) + 1}`;
        this.#slider.setAttribute('aria-valuetext', whole ? `camera ${t + 1}` : between);
        this.#backLabel.textContent = `Camera ${lastCamera + 1}`;
        setAttributes(this.#back, {
            'aria-label': `Back to camera ${lastCamera + 1}`,
            'data-tip': `Back to camera ${lastCamera + 1} (B)`,
        });
        this.#back.disabled = camera === lastCamera;
    }

    #rebuild(colors: readonly string[]): void {
        this.#colors = colors.join();
        const end = Math.max(colors.length - 1, 1);
        setAttributes(this.#slider, { max: end });
        this.#buttons = colors.length > MAX_BUTTONS ? [] : colors.map((c, i) => this.#button(c, i));
        const marks = this.#buttons.length > 0 ? this.#buttons : colors.map(tick);
        for (const [index, mark] of marks.entries()) {
            mark.style.setProperty('--fraction', String(index / end));
        }
        this.#track.replaceChildren(...marks);
    }

    #button(color: string, index: number): HTMLButtonElement {
        const label = `View from camera ${index + 1}`;
        const button = html(
            'button',
            {
                type: 'button',
                class: 'camera-button',
                'aria-label': label,
                'data-tip': label,
                'aria-keyshortcuts': index < 9 ? String(index + 1) : null,
            },
            String(index + 1),
        );
        button.style.setProperty('--color', color);
        button.style.setProperty('--ink', inkOn(color));
        button.addEventListener('click', () => this.#commands.gotoCamera(index));
        return button;
    }
}

function tick(color: string): HTMLElement {
    const mark = html('span', { class: 'tick' });
    mark.style.setProperty('--color', color);
    return mark;
}
