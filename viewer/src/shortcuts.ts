/** What single keys do, while the viewer has the focus. */

import type { Commands, UiState } from './state.ts';

/** Do what a key asks for; whether it asks for anything. */
export function runShortcut(
    key: string,
    shift: boolean,
    commands: Commands,
    state: UiState,
): boolean {
    const last = state.colors.length - 1;
    const camera = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
    if (camera !== null) {
        if (camera <= last) commands.gotoCamera(camera);
        return camera <= last;
    }
    const actions = last < 0 ? {} : cameraActions(commands, state, last);
    const all = { ...generalActions(commands, state), ...actions };
    const action = new Map(Object.entries(all)).get(key.length === 1 ? key.toLowerCase() : key);
    // Shift makes movement faster; a letter with it is a slip of that, not a shortcut.
    if (!action || (shift && key !== '?')) return false;
    action();
    return true;
}

function generalActions(commands: Commands, { view }: UiState): Record<string, () => void> {
    return {
        o: () => commands.setView({ mode: 'orbit' }),
        f: () => commands.setView({ mode: 'fly' }),
        p: () => commands.setView({ points: !view.points }),
        r: () => commands.reset(),
        m: () => commands.toggleSettings(),
        l: () => commands.toggleFullscreen(),
        '?': () => commands.showHelp(),
        Escape: () => commands.escape(),
    };
}

function cameraActions(
    commands: Commands,
    { view, lastCamera, hasFrame }: UiState,
    last: number,
): Record<string, () => void> {
    return {
        ' ': () => commands.togglePlaying(),
        '[': () => commands.gotoCamera(Math.max(lastCamera - 1, 0)),
        ']': () => commands.gotoCamera(Math.min(lastCamera + 1, last)),
        b: () => commands.backToCamera(),
        x: () => commands.setView({ frustums: !view.frustums }),
        ...(hasFrame ? { c: () => commands.setView({ compare: !view.compare }) } : {}),
    };
}
