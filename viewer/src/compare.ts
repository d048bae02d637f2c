/** The frame of a camera over the splats, with a divider to drag. */

import { html } from './dom.ts';
import { cropToCanvas, frameOnCanvas, type Lens, type Size } from './geometry.ts';

export class FrameCompare {
    readonly element: HTMLElement;
    readonly #image = html('img', { alt: '', draggable: 'false' });
    readonly #slider: HTMLInputElement;
    readonly #onError: () => void;
    #source: string | null = null;

    constructor(onDivider: (fraction: number) => void, onError: () => void) {
        this.#onError = onError;
        this.#slider = html('input', {
            type: 'range',
            min: 0,
            max: 1,
            step: 0.01,
            value: 0.5,
            'aria-label': 'Divider: frame on its left, splats on its right',
        });
        this.#slider.addEventListener('input', () => onDivider(Number(this.#slider.value)));
        this.#image.addEventListener('error', () => this.#onError());
        const grip = html('span', { class: 'grip', 'aria-hidden': 'true' });
        const divider = html(
            'span',
            { class: 'divider', 'aria-hidden': 'true' },
            html('span', { class: 'tag left' }, 'Frame'),
            html('span', { class: 'tag right' }, 'Splats'),
            grip,
        );
        this.element = html(
            'div',
            { class: 'compare', hidden: true },
            this.#image,
            this.#slider,
            divider,
        );
        this.#dragWith(divider, onDivider);
    }

    /** Lay a picture over the part of the canvas that the lens' frame fills; what is cropped there
     * is cropped here. */
    show(source: string, color: string, lens: Lens, canvas: Size, divider: number): void {
        if (source !== this.#source) {
            this.#source = source;
            this.#image.src = source;
        }
        const { left, top, width, height } = frameOnCanvas(cropToCanvas(lens, canvas), canvas);
        const { style } = this.element;
        style.left = `${left}px`;
        style.top = `${top}px`;
        style.width = `${width}px`;
        style.height = `${height}px`;
        style.setProperty('--divider', String(divider));
        style.setProperty('--color', color);
        this.#slider.value = String(divider);
        this.#slider.setAttribute('aria-valuetext', `${Math.round(100 * divider)} % frame`);
        this.element.hidden = false;
    }

    hide(): void {
        this.element.hidden = true;
    }

    #dragWith(handle: HTMLElement, onDivider: (fraction: number) => void): void {
        handle.addEventListener('pointerdown', (event) => {
            event.preventDefault();
            this.#slider.focus({ preventScroll: true });
            handle.setPointerCapture(event.pointerId);
        });
        handle.addEventListener('pointermove', (event) => {
            if (!handle.hasPointerCapture(event.pointerId)) return;
            const { left, width } = this.element.getBoundingClientRect();
            onDivider(Math.min(Math.max((event.clientX - left) / width, 0), 1));
        });
    }
}
