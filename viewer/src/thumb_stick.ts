/** A stick on touch screens, to fly with one thumb while the other looks around. */

import { html } from './dom.ts';

export class ThumbStick {
    readonly element: HTMLElement;
    readonly #deflection: { x: number; y: number };
    readonly #knob = html('div', { class: 'knob' });

    constructor(deflection: { x: number; y: number }) {
        this.#deflection = deflection;
        this.element = html(
            'div',
            { class: 'stick', hidden: true, 'aria-hidden': 'true' },
            this.#knob,
        );
        this.element.addEventListener('pointerdown', (event) => {
            this.element.setPointerCapture(event.pointerId);
            this.#follow(event);
        });
        this.element.addEventListener('pointermove', (event) => {
            if (this.element.hasPointerCapture(event.pointerId)) this.#follow(event);
        });
        for (const type of ['pointerup', 'pointercancel']) {
            this.element.addEventListener(type, () => this.#deflect(0, 0));
        }
    }

    setVisible(visible: boolean): void {
        this.element.hidden = !visible;
        if (!visible) this.#deflect(0, 0);
    }

    #follow(event: PointerEvent): void {
        const { left, top, width, height } = this.element.getBoundingClientRect();
        const x = (2 * (event.clientX - left)) / width - 1;
        const y = (2 * (event.clientY - top)) / height - 1;
        const length = Math.max(1, Math.hypot(x, y));
        this.#deflect(x / length, y / length);
    }

    #deflect(x: number, y: number): void {
        this.#deflection.x = x;
        this.#deflection.y = y;
        this.#knob.style.transform = `translate(${50 * x}%, ${50 * y}%)`;
    }
}
