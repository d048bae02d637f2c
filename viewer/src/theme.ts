/** Light and dark, and the colours of the page around. */

import type { Background, Theme, ThemeVariables } from './protocol.ts';
import type { Rgba } from './stage.ts';

const VARIABLES: Readonly<Record<keyof ThemeVariables, string>> = {
    accent: '--accent',
    onAccent: '--on-accent',
    background: '--background',
    surface: '--surface',
    border: '--border',
    text: '--text',
    mutedText: '--muted-text',
    radius: '--radius',
    font: '--font',
};

/** Behind the splats, where `--background` does not decide. */
const BACKGROUNDS: Readonly<Record<'light' | 'dark', Rgba>> = {
    light: [0.957, 0.957, 0.961, 1],
    dark: [0.063, 0.063, 0.075, 1],
};

export class ThemeSwitch {
    readonly #root: HTMLElement;
    readonly #system = window.matchMedia('(prefers-color-scheme: dark)');
    #theme: Theme = 'auto';

    constructor(root: HTMLElement, onChange: () => void) {
        this.#root = root;
        this.#system.addEventListener('change', () => {
            this.set(this.#theme);
            onChange();
        });
        this.set('auto');
    }

    set(theme: Theme, variables?: ThemeVariables): void {
        this.#theme = theme;
        this.#root.dataset.theme = this.isDark ? 'dark' : 'light';
        if (!variables) return;
        for (const [name, property] of Object.entries(VARIABLES)) {
            const value = variables[name as keyof ThemeVariables];
            if (value === undefined) this.#root.style.removeProperty(property);
            else this.#root.style.setProperty(property, value);
        }
    }

    get isDark(): boolean {
        return this.#theme === 'dark' || (this.#theme === 'auto' && this.#system.matches);
    }

    /** The colour behind the splats. */
    colorOf(background: Exclude<Background, 'scene'>): Rgba {
        if (background === 'transparent') return [0, 0, 0, 0];
        if (background !== 'theme') return BACKGROUNDS[background];
        const computed = getComputedStyle(this.#root).backgroundColor;
        return rgbaOf(computed) ?? BACKGROUNDS[this.isDark ? 'dark' : 'light'];
    }
}

/** Channels of a computed `rgb(…)`; null for none or a colour that shows what is behind. */
function rgbaOf(computed: string): Rgba | null {
    const channels = computed
        .match(/^rgba?\(([^)]*)\)$/)?.[1]
        ?.split(/[\s,/]+/)
        .map(Number);
    if (channels?.length !== 3) return null;
    const [r, g, b] = channels as [number, number, number];
    return [r / 255, g / 255, b / 255, 1];
}
