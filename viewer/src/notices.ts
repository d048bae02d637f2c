/** Progress, errors in words, and short notes. */

import { html } from './dom.ts';
import { formatBytes } from './download.ts';
import type { ViewerError } from './errors.ts';
import type { ProgressMessage } from './protocol.ts';

const NOTE_MS = 3500;

export class Notices {
    readonly element: HTMLElement;
    readonly #bar = html('div', { class: 'bar' });
    readonly #progressText = html('p');
    readonly #progress: HTMLElement;
    readonly #errorText = html('p');
    readonly #retry = html('button', { type: 'button', class: 'primary' }, 'Try again');
    readonly #dismiss = html('button', { type: 'button', class: 'text-button' }, 'Close');
    readonly #error: HTMLElement;
    readonly #note = html('div', { class: 'note', role: 'status' });
    readonly #empty = html('p', { class: 'empty' }, 'No scene yet');
    #noteTimer = 0;

    constructor(retry: () => void) {
        this.#progress = html(
            'div',
            { class: 'card panel progress', hidden: true },
            this.#progressText,
            html('div', { class: 'bar-track' }, this.#bar),
        );
        this.#error = html(
            'div',
            { class: 'card panel error', role: 'alert', hidden: true },
            html('h2', {}, 'This did not work'),
            this.#errorText,
            html('div', { class: 'row' }, this.#retry, this.#dismiss),
        );
        this.#retry.addEventListener('click', () => {
            this.hideError();
            retry();
        });
        this.#dismiss.addEventListener('click', () => this.hideError());
        setProgressRole(this.#progress);
        this.element = html('div', { class: 'notices' });
        this.element.append(this.#empty, this.#progress, this.#error, this.#note);
    }

    /** `slim` is for a scene that replaces another: a strip at the top, nothing covered. */
    showProgress({ stage, received, total }: ProgressMessage, slim: boolean): void {
        this.#empty.hidden = true;
        // What went wrong stays until it is read.
        if (!this.#error.hidden) return;
        this.#progress.hidden = false;
        this.#progress.classList.toggle('slim', slim);
        const known = total !== null && total > 0;
        const fraction = known ? Math.min(received / total, 1) : null;
        const amount = known
            ? `${formatBytes(received)} of ${formatBytes(total)}`
            : formatBytes(received);
        const text = stage === 'download' ? `Loading the scene: ${amount}` : `Preparing ${amount}`;
        this.#progressText.textContent = text;
        const waiting = stage === 'prepare' || fraction === null;
        this.#bar.classList.toggle('waiting', waiting);
        this.#bar.style.setProperty('--fraction', String(waiting ? 1 : fraction));
        this.#progress.setAttribute('aria-valuetext', text);
        if (fraction === null) this.#progress.removeAttribute('aria-valuenow');
        else this.#progress.setAttribute('aria-valuenow', String(Math.round(100 * fraction)));
    }

    hideProgress(): void {
        this.#progress.hidden = true;
    }

    showError(error: ViewerError): void {
        this.hideProgress();
        this.#empty.hidden = true;
        this.#errorText.textContent = error.message;
        this.#retry.hidden = !error.retry;
        this.#error.hidden = false;
    }

    hideError(): void {
        this.#error.hidden = true;
    }

    /** Whether nothing is there to see, neither a scene nor cameras. */
    setEmpty(empty: boolean): void {
        this.#empty.hidden = !empty;
    }

    /** A line that goes away by itself. */
    note(text: string): void {
        this.#note.textContent = text;
        this.#note.classList.add('shown');
        window.clearTimeout(this.#noteTimer);
        this.#noteTimer = window.setTimeout(() => this.#note.classList.remove('shown'), NOTE_MS);
    }
}

function setProgressRole(element: HTMLElement): void {
    element.setAttribute('role', 'progressbar');
    element.setAttribute('aria-label', 'Loading the scene');
    element.setAttribute('aria-valuemin', '0');
    element.setAttribute('aria-valuemax', '100');
}
