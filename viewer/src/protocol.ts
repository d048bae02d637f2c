/**
 * Messages between the viewer and the page around it, version 1.
 *
 * This file is the only definition. `npm run build` turns it into `protocol.schema.json`, which
 * the viewer checks incoming messages against and which Python reads for the same purpose.
 *
 * Poses are camera→world in the frame of the scene file, with OpenGL camera axes (+x right, +y up,
 * looking along −z), as in a nerfstudio `transforms.json`. Cameras are counted from 0. A position
 * `t` on the path through the cameras is in units of cameras: 1.2 is a fifth of the way from
 * camera 1 to camera 2.
 */

export const PROTOCOL_VERSION = 1;

/** One row of a pose. */
export type Row = [number, number, number, number];

/** Rows of a 4×4 camera→world matrix; the last row is 0, 0, 0, 1. */
export type Matrix4 = [Row, Row, Row, Row];

/**
 * sRGB colour.
 * @pattern ^#[0-9a-fA-F]{6}$
 */
export type HexColor = string;

/**
 * @minimum 0
 * @asType integer
 */
export type CameraIndex = number;

/** @minimum 0 */
export type PathPosition = number;

/**
 * Side of a picture in pixels.
 * @minimum 1
 * @maximum 4096
 * @asType integer
 */
export type PixelCount = number;

/** Chosen by the asking side and repeated in the answer. */
export type RequestId = string;

/**
 * What the canvas shows behind the splats: `scene` goes on with the colours of the frames, from the
 * sky to the ground, where there are frames; `theme` follows the theme.
 */
export type Background = 'scene' | 'theme' | 'light' | 'dark' | 'transparent';

/** `auto` follows the browser's setting. */
export type Theme = 'auto' | 'light' | 'dark';

export type NavigationMode = 'orbit' | 'fly';

/** Size of a picture, focal lengths and principal point, in pixels. */
export interface Intrinsics {
    w?: number;
    h?: number;
    fl_x?: number;
    fl_y?: number;
    cx?: number;
    cy?: number;
}

/** A nerfstudio `transforms.json`; shared intrinsics may stand at the top, others in each frame. */
export interface CameraFile extends Intrinsics {
    frames: CameraFrame[];
    [other: string]: unknown;
}

export interface CameraFrame extends Intrinsics {
    transform_matrix: Matrix4;
    /** Picture of this camera: relative to the camera file (or to the page), or a data: URL. */
    file_path?: string;
    [other: string]: unknown;
}

/** Look of the page around the viewer, as CSS values. */
export interface ThemeVariables {
    accent?: string;
    /** Colour of text and icons on the accent. */
    onAccent?: string;
    background?: string;
    surface?: string;
    border?: string;
    text?: string;
    mutedText?: string;
    radius?: string;
    font?: string;
}

/** How splats are drawn. */
export interface ViewSettings {
    mode?: NavigationMode;
    /**
     * Factor on the splats' extent.
     * @minimum 0.05
     * @maximum 2
     */
    splatSize?: number;
    /** Draw every splat as a small dot. */
    points?: boolean;
    /**
     * Splats less opaque than this are left out.
     * @minimum 0
     * @maximum 1
     */
    opacityCutoff?: number;
    /** Draw the cameras' frustums. */
    frustums?: boolean;
    /** Fade the splats out at the border of what the cameras saw. */
    fadeEdges?: boolean;
    /** Let the view go to where no camera saw anything. */
    free?: boolean;
    /** At a camera, lay its frame over the splats, with a divider. */
    compare?: boolean;
    /**
     * Where the divider stands, from the left edge of the frame.
     * @minimum 0
     * @maximum 1
     */
    divider?: number;
}

// ---------------------------------------------------------------------------------------------
// Page → viewer

/** Asks for `ready`, for a page that listens later than the viewer started. */
export interface HelloMessage {
    v: 1;
    type: 'hello';
}

/** Show a scene. The one shown stays until the new one is ready. */
export interface LoadMessage {
    v: 1;
    type: 'load';
    /**
     * URL of a .ply, .compressed.ply or .sog file.
     * @minLength 1
     */
    content: string;
    /** URL of a camera file, or its contents; null for none. Left out: the cameras shown stay. */
    cameras?: string | CameraFile | null;
    colors?: HexColor[];
    /** Start at this camera (default: the middle one). */
    camera?: CameraIndex;
    /** Start at this position on the path instead. */
    t?: PathPosition;
    /** Keep the view as it is instead. */
    keepView?: boolean;
    /**
     * Then fly slowly along the cameras once, until a hand comes. Not for people who asked their
     * system for reduced motion, nor where graphics are too slow for it.
     */
    flight?: boolean;
}

/** Take the scene away. The cameras stay. */
export interface ClearMessage {
    v: 1;
    type: 'clear';
}

/** Show these cameras, also without a scene; null for none. */
export interface CamerasMessage {
    v: 1;
    type: 'cameras';
    cameras: string | CameraFile | null;
    /** One colour per camera; left out: the colours of the package. */
    colors?: HexColor[];
    /**
     * Keep the view as it is (default); otherwise go to camera 0. Without a scene there is nothing
     * to see from a camera: the view is then one of all cameras, until a hand moves it.
     */
    keepView?: boolean;
}

/** View the scene from a camera. */
export interface GotoCameraMessage {
    v: 1;
    type: 'gotoCamera';
    camera: CameraIndex;
    /** Without the movement there. */
    instant?: boolean;
}

/** Fly along the cameras from where the path stands. */
export interface PlayMessage {
    v: 1;
    type: 'play';
    /** Back and forth until paused. */
    loop?: boolean;
    /**
     * Cameras per second (default 1).
     * @minimum 0.05
     * @maximum 10
     */
    speed?: number;
}

export interface PauseMessage {
    v: 1;
    type: 'pause';
}

/** Go to a position on the path through the cameras. */
export interface SeekMessage {
    v: 1;
    type: 'seek';
    t: PathPosition;
}

/** Show a view; it is not reported back as `pose`, so two viewers can follow each other. */
export interface SetPoseMessage {
    v: 1;
    type: 'setPose';
    transform: Matrix4;
    /**
     * Vertical field of view in degrees, of the largest centred square of the canvas.
     * @minimum 5
     * @maximum 150
     */
    fov?: number;
}

/** Back to the starting view. */
export interface ResetMessage {
    v: 1;
    type: 'reset';
}

export interface SetBackgroundMessage {
    v: 1;
    type: 'setBackground';
    background: Background;
}

export interface SetThemeMessage {
    v: 1;
    type: 'setTheme';
    theme: Theme;
    variables?: ThemeVariables;
}

export interface SetViewMessage {
    v: 1;
    type: 'setView';
    view: ViewSettings;
}

/** Asks for a picture of the view on screen. */
export interface ScreenshotMessage {
    v: 1;
    type: 'screenshot';
    id: RequestId;
    /** Size of the picture; left out: that of the canvas. */
    width?: PixelCount;
    height?: PixelCount;
    /** No background, whatever is on screen. */
    transparent?: boolean;
}

/** Asks for a picture from a camera or a position on the path; the view on screen goes there. */
export interface CaptureMessage {
    v: 1;
    type: 'capture';
    id: RequestId;
    /** Position on the path; a whole number is that camera, with its exact intrinsics. */
    t: PathPosition;
    width: PixelCount;
    height: PixelCount;
    transparent?: boolean;
    /**
     * Samples per pixel and axis (default 1, which is how other rasterisers draw).
     * @minimum 1
     * @maximum 4
     * @asType integer
     */
    supersample?: number;
}

export type HostMessage =
    | HelloMessage
    | LoadMessage
    | ClearMessage
    | CamerasMessage
    | GotoCameraMessage
    | PlayMessage
    | PauseMessage
    | SeekMessage
    | SetPoseMessage
    | ResetMessage
    | SetBackgroundMessage
    | SetThemeMessage
    | SetViewMessage
    | ScreenshotMessage
    | CaptureMessage;

// ---------------------------------------------------------------------------------------------
// Viewer → page

/** The viewer listens. Sent at start and as the answer to `hello`. */
export interface ReadyMessage {
    v: 1;
    type: 'ready';
    /** Version of the viewer. */
    version: string;
}

export interface ProgressMessage {
    v: 1;
    type: 'progress';
    stage: 'download' | 'prepare';
    /** Bytes so far. */
    received: number;
    /** Bytes in all; null if the server does not say. */
    total: number | null;
}

/** The first picture of the scene is on screen. */
export interface LoadedMessage {
    v: 1;
    type: 'loaded';
    content: string;
    /** @asType integer */
    splats: number;
    /** Size of the file. */
    bytes: number;
    /** @asType integer */
    cameras: number;
    /** From the start of the download to the first picture. */
    seconds: number;
}

export type ErrorCode =
    | 'network'
    | 'not-found'
    | 'not-a-scene'
    | 'damaged'
    | 'unsupported-format'
    | 'bad-cameras'
    | 'no-webgl'
    | 'bad-message'
    | 'bad-address'
    | 'capture-failed';

export interface ErrorMessage {
    v: 1;
    type: 'error';
    code: ErrorCode;
    /** What happened and what to do about it, in words. */
    message: string;
    /** Whether trying the same again can help; the viewer then shows a button for it. */
    retry: boolean;
    /** The request that failed, if it had an id. */
    id?: RequestId;
}

/** The view changed, by the person's hand or by playing. */
export interface PoseMessage {
    v: 1;
    type: 'pose';
    transform: Matrix4;
    /** Vertical field of view in degrees, of the largest centred square of the canvas. */
    fov: number;
    mode: NavigationMode;
    /** The camera that this is the exact view of. */
    camera: CameraIndex | null;
}

/** Another camera (or none) is the one viewed from. */
export interface CameraSelectedMessage {
    v: 1;
    type: 'cameraSelected';
    camera: CameraIndex | null;
}

/** Playing started or stopped, or the position on the path changed. */
export interface PlaybackMessage {
    v: 1;
    type: 'playback';
    playing: boolean;
    t: PathPosition;
}

/** The person flew a path: its cameras, in the order of the flight. */
export interface RecordedMessage {
    v: 1;
    type: 'recorded';
    cameras: CameraFile;
}

/** The person changed the view settings, theme or background. */
export interface ViewChangedMessage {
    v: 1;
    type: 'viewChanged';
    view: Required<ViewSettings>;
    background: Background;
    theme: Theme;
}

/** Answer to `screenshot` and `capture`. */
export interface ScreenshotReply {
    v: 1;
    type: 'screenshot';
    id: RequestId;
    width: PixelCount;
    height: PixelCount;
    /**
     * The picture as PNG.
     * @pattern ^data:image/png;base64,
     */
    image: string;
}

export type ViewerMessage =
    | ReadyMessage
    | ProgressMessage
    | LoadedMessage
    | ErrorMessage
    | PoseMessage
    | CameraSelectedMessage
    | PlaybackMessage
    | RecordedMessage
    | ViewChangedMessage
    | ScreenshotReply;
