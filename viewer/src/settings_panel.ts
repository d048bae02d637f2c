/** Background, theme, and how splats are drawn. */

import { X } from 'lucide';
import { html } from './dom.ts';
import type { Background, Theme, ViewSettings } from './protocol.ts';
import { type Commands, DEFAULT_VIEW, type UiState } from './state.ts';
import { iconButton } from './toolbar.ts';

type SliderName = 'splatSize' | 'opacityCutoff';
type SwitchName = 'points' | 'frustums' | 'fadeEdges' | 'free';

const BACKGROUNDS: readonly (readonly [Background, string])[] = [
    ['scene', 'Scene'],
    ['theme', 'Theme'],
    ['light', 'Light'],
    ['dark', 'Dark'],
    ['transparent', 'None'],
];
const THEMES: readonly (readonly [Theme, string])[] = [
    ['auto', 'Auto'],
    ['light', 'Light'],
    ['dark', 'Dark'],
];

export class SettingsPanel {
    readonly element: HTMLElement;
    readonly #updates: ((state: UiState) => void)[] = [];

    constructor(commands: Commands, close: () => void) {
        const reset = html('button', { type: 'button', class: 'text-button' }, 'Restore defaults');
        reset.addEventListener('click', () => {
            const { mode: _, compare: __, divider: ___, ...shown } = DEFAULT_VIEW;
            commands.setView(shown);
            commands.setBackground('scene');
        });
        this.element = html(
            'section',
            { class: 'settings panel', 'aria-label': 'Display settings', hidden: true },
            html(
                'header',
                {},
                html('h2', {}, 'Display'),
                iconButton(X, 'Close settings', null, close),
            ),
            this.#slider('Splat size', 'splatSize', 0.05, 2, (v) => `${v.toFixed(2)} ×`, commands),
            // Most splats of a scene are faint; a larger cut-off would take the scene away.
            this.#slider(
                'Opacity cut-off',
                'opacityCutoff',
                0,
                0.25,
                (v) => v.toFixed(2),
                commands,
            ),
            this.#checkbox('Draw as points', 'points', commands),
            this.#checkbox('Show cameras', 'frustums', commands),
            this.#checkbox('Fade at the border', 'fadeEdges', commands),
            this.#checkbox('Free: leave what the views saw', 'free', commands),
            this.#choice(
                'Background',
                BACKGROUNDS,
                (s) => s.background,
                (b) => commands.setBackground(b),
            ),
            this.#choice(
                'Theme',
                THEMES,
                (s) => s.theme,
                (theme) => commands.setTheme(theme),
            ),
            reset,
        );
    }

    update(state: UiState): void {
        for (const update of this.#updates) update(state);
    }

    #slider(
        label: string,
        name: SliderName,
        min: number,
        max: number,
        show: (value: number) => string,
        commands: Commands,
    ): HTMLElement {
        const output = html('output');
        const input = html('input', { type: 'range', min, max, step: 0.01 });
        input.addEventListener('input', () => {
            commands.setView({ [name]: Number(input.value) } as ViewSettings);
        });
        this.#updates.push(({ view }) => {
            input.value = String(view[name]);
            input.style.setProperty('--fraction', String((view[name] - min) / (max - min)));
            output.textContent = show(view[name]);
        });
        return html('label', { class: 'field' }, html('span', {}, label), output, input);
    }

    #checkbox(label: string, name: SwitchName, commands: Commands): HTMLElement {
        const input = html('input', { type: 'checkbox', role: 'switch' });
        input.addEventListener('change', () => commands.setView({ [name]: input.checked }));
        this.#updates.push(({ view }) => {
            input.checked = view[name];
        });
        return html('label', { class: 'switch' }, html('span', {}, label), input);
    }

    #choice<T extends string>(
        legend: string,
        options: readonly (readonly [T, string])[],
        value: (state: UiState) => T,
        choose: (value: T) => void,
    ): HTMLElement {
        const group = `choice-${legend}`;
        const labels = options.map(([option, text]) => {
            const input = html('input', { type: 'radio', name: group, value: option });
            input.addEventListener('change', () => choose(option));
            this.#updates.push((state) => {
                input.checked = value(state) === option;
            });
            return html('label', {}, input, html('span', {}, text));
        });
        const row = html('div', { class: 'choice' }, ...labels);
        return html('fieldset', {}, html('legend', {}, legend), row);
    }
}
