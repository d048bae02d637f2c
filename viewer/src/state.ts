import type { Background, Theme, ViewSettings } from './protocol.ts';

/** What the controls show. */
export interface UiState {
    view: Required<ViewSettings>;
    background: Background;
    theme: Theme;
    /** The camera whose exact view is on screen. */
    camera: number | null;
    /** The camera that “back to camera” goes to. */
    lastCamera: number;
    /** One colour per camera. */
    colors: readonly string[];
    /** Whether the last camera has a picture to compare with. */
    hasFrame: boolean;
    playing: boolean;
    /** Position on the path. */
    t: number;
    hasScene: boolean;
    splats: number;
    fullscreen: boolean;
    /** Whether the hand's path is being recorded. */
    recording: boolean;
    canStartVr: boolean;
    canStartAr: boolean;
}

/** What the controls can ask for. */
export interface Commands {
    setView(view: ViewSettings): void;
    setBackground(background: Background): void;
    setTheme(theme: Theme): void;
    gotoCamera(camera: number): void;
    backToCamera(): void;
    togglePlaying(): void;
    seek(t: number): void;
    reset(): void;
    saveScreenshot(): void;
    toggleFullscreen(): void;
    toggleRecording(): void;
    toggleSettings(): void;
    showHelp(): void;
    /** Close what is open, or pause. */
    escape(): void;
    retry(): void;
    startXr(kind: 'vr' | 'ar'): void;
}

export const DEFAULT_VIEW: Readonly<Required<ViewSettings>> = {
    mode: 'orbit',
    splatSize: 1,
    points: false,
    opacityCutoff: 0,
    frustums: true,
    fadeEdges: true,
    free: false,
    compare: false,
    divider: 0.5,
};
