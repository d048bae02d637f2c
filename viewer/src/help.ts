/** The sheet of keys. */

import { X } from 'lucide';
import { html } from './dom.ts';
import { iconButton } from './toolbar.ts';

type Line = readonly [keys: string, meaning: string];

const SECTIONS: readonly (readonly [string, readonly Line[]])[] = [
    [
        'Mouse and touch',
        [
            ['Drag', 'Turn the scene (orbit) or look around (fly)'],
            ['Right-drag, Shift+drag, two fingers', 'Shift sideways'],
            ['Wheel, pinch', 'Come closer'],
            ['Double-click', 'Turn about that point'],
            ['Click a frustum', 'View from that camera'],
        ],
    ],
    [
        'Moving by keys',
        [
            ['W A S D', 'Fly forward, left, back, right'],
            ['Q E', 'Fly down, up'],
            ['Arrows', 'Go around (orbit) or look around (fly)'],
            ['+ −', 'Come closer, go away'],
            ['Shift, Alt', 'Faster, slower'],
        ],
    ],
    [
        'Cameras',
        [
            ['1 – 9', 'View from that camera'],
            ['[ ]', 'Previous, next camera'],
            ['B', 'Back to the camera'],
            ['Space', 'Fly along the cameras, pause'],
            ['C', 'Compare with the frame'],
            ['X', 'Show or hide the cameras'],
        ],
    ],
    [
        'View',
        [
            ['O F', 'Orbit, fly'],
            ['R', 'Reset view'],
            ['P', 'Points or splats'],
            ['M', 'Display settings'],
            ['L', 'Fullscreen'],
            ['?', 'This sheet'],
            ['Esc', 'Close, pause'],
        ],
    ],
    [
        'Gamepad',
        [
            ['Left stick, triggers', 'Fly, down and up'],
            ['Right stick', 'Look or go around'],
            ['Shoulder buttons', 'Previous, next camera'],
            ['A, B', 'Back to the camera, reset view'],
        ],
    ],
];

export class HelpSheet {
    readonly element: HTMLDialogElement;

    constructor() {
        const close = iconButton(X, 'Close help', null, () => this.element.close());
        const sections = SECTIONS.map(([title, lines]) => {
            const rows = lines.map(([keys, meaning]) => {
                return html('div', {}, html('dt', {}, keys), html('dd', {}, meaning));
            });
            return html('section', {}, html('h3', {}, title), html('dl', {}, ...rows));
        });
        this.element = html(
            'dialog',
            { class: 'help panel', 'aria-label': 'Help and keys' },
            html('header', {}, html('h2', {}, 'Finding your way'), close),
            html(
                'p',
                {},
                'Keys work while the viewer has the focus: click the scene, or Tab to it.',
            ),
            html('div', { class: 'sections' }, ...sections),
        );
        // While the sheet is open, keys are its own: Escape closes it and nothing else.
        this.element.addEventListener('keydown', (event) => event.stopPropagation());
        this.element.addEventListener('click', (event) => {
            if (event.target === this.element) this.element.close();
        });
    }

    show(): void {
        if (!this.element.open) this.element.showModal();
    }
}
