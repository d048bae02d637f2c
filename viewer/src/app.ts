/** The viewer: what the page, the address, the controls and the hands ask for comes together here. */

import { Vec3 } from 'playcanvas';
import { Backdrop } from './backdrop.ts';
import { Bounds } from './bounds.ts';
import { connect } from './bridge.ts';
import { fetchCameras } from './camera_source.ts';
import { extentOf, overviewOf, upOf, type ViewCamera } from './cameras.ts';
import { FrameCompare } from './compare.ts';
import { html } from './dom.ts';
import { download } from './download.ts';
import { asViewerError, ViewerError } from './errors.ts';
import { FrameLoop } from './frame_loop.ts';
import { FrustumOverlay } from './frustums.ts';
import {
    axesOf,
    cropToCanvas,
    fovOnCanvas,
    frontView,
    lensFromFov,
    lensOnCanvas,
    matrixFromPose,
    type Pose,
    poseFromMatrix,
    type Size,
    type View,
} from './geometry.ts';
import { HelpSheet } from './help.ts';
import { SurfaceInput } from './input.ts';
import { middleCamera, Navigation } from './navigation.ts';
import { Notices } from './notices.ts';
import { CameraPath } from './path.ts';
import type {
    Background,
    CameraFile,
    CaptureMessage,
    HexColor,
    HostMessage,
    LoadMessage,
    ScreenshotMessage,
    SetPoseMessage,
    Theme,
    ThemeVariables,
    ViewerMessage,
    ViewSettings,
} from './protocol.ts';
import { PathRecorder } from './recorder.ts';
import { ResolutionGovernor } from './resolution.ts';
import { recogniseScene } from './scene_file.ts';
import { SettingsPanel } from './settings_panel.ts';
import { runShortcut } from './shortcuts.ts';
import { type PaintBackdrop, type Picture, type Rgba, type SplatStyle, Stage } from './stage.ts';
import { type Commands, DEFAULT_VIEW, type UiState } from './state.ts';
import { ThemeSwitch } from './theme.ts';
import { ThumbStick } from './thumb_stick.ts';
import { Timeline } from './timeline.ts';
import { Toolbar } from './toolbar.ts';

declare const VIEWER_VERSION: string;

/** Hands on the viewer; any of them may move something. */
const HAND_EVENTS = [
    'pointerdown',
    'pointermove',
    'pointerup',
    'wheel',
    'keydown',
    'keyup',
    'input',
];
const CLICK_REACH = 9;
const TOUCH_REACH = 20;

type Handlers = {
    [Type in HostMessage['type']]: (message: Extract<HostMessage, { type: Type }>) => void;
};

/** A file that is in the page already, as in a one-file export. */
export interface EmbeddedScene {
    bytes: Uint8Array;
    cameras: CameraFile | null;
}

export class ViewerApp implements Commands {
    readonly #root: HTMLElement;
    readonly #stages = html('div', { class: 'stages', 'aria-hidden': 'true' });
    readonly #surface: HTMLElement;
    readonly #navigation = new Navigation(() => this.#reportPlayback());
    readonly #rig = this.#navigation.rig;
    readonly #resolution = new ResolutionGovernor();
    readonly #loop = new FrameLoop(
        (time, seconds) => this.#frame(time, seconds),
        () => this.#input.hasGamepad,
    );
    readonly #input: SurfaceInput;
    readonly #backdrop = new Backdrop();
    readonly #recorder = new PathRecorder();
    readonly #frustums = new FrustumOverlay();
    readonly #compare: FrameCompare;
    readonly #toolbar: Toolbar;
    readonly #timeline: Timeline;
    readonly #settings: SettingsPanel;
    readonly #help = new HelpSheet();
    readonly #notices: Notices;
    readonly #theme: ThemeSwitch;
    readonly #stick: ThumbStick;
    readonly #send: (message: ViewerMessage) => void;

    #stage: Stage | null = null;
    #loading: AbortController | null = null;
    #lastLoad: LoadMessage | null = null;
    #lastEmbedded: EmbeddedScene | null = null;
    #view: Required<ViewSettings> = { ...DEFAULT_VIEW };
    #background: Background = 'scene';
    #themeName: Theme = 'auto';
    #canvas: Size = { width: 1, height: 1 };
    #visible = true;
    /** What the last frame showed, to draw and report only what changed. */
    #shown = '';
    #reported = '';
    #overview: string | null = null;
    #selected: number | null = null;

    constructor(root: HTMLElement) {
        this.#root = root;
        this.#surface = html('div', {
            class: 'surface',
            tabindex: 0,
            role: 'application',
            'aria-label': '3D scene. Press question mark for the keys.',
        });
        this.#compare = new FrameCompare(
            (divider) => this.setView({ divider }),
            () => this.#notices.note('The frame of this camera could not be loaded.'),
        );
        this.#toolbar = new Toolbar(this);
        this.#timeline = new Timeline(this);
        this.#settings = new SettingsPanel(this, () => this.toggleSettings());
        this.#notices = new Notices(() => this.retry());
        this.#theme = new ThemeSwitch(root, () => this.#applyBackground());
        this.#input = new SurfaceInput(this.#surface, root, this.#rig, {
            click: (x, y, touch) => this.#click(x, y, touch ? TOUCH_REACH : CLICK_REACH),
            doubleClick: (x, y) => this.#focusOn(x, y),
            hover: (x, y) => this.#hover(x, y),
            shortcut: (key, shift) => runShortcut(key, shift, this, this.#uiState()),
            ownsWheel: () => window.parent === window || root.contains(document.activeElement),
            woken: () => this.#notices.note('Drag to turn, two fingers to come closer.'),
            wheelIgnored: () => this.#notices.note('Click the scene first to zoom with the wheel.'),
        });
        this.#stick = new ThumbStick(this.#input.stick);
        this.#assemble();
        this.#watch();
        this.#send = connect(
            (message) => this.receive(message),
            (problem) => this.fail(new ViewerError('bad-message', `Message refused: ${problem}.`)),
        );
        this.#render();
        this.#greet();
    }

    /** Do what a message asks for. */
    receive(message: HostMessage): void {
        this.#loop.wake();
        const handle = this.#handlers[message.type] as (message: HostMessage) => void;
        handle(message);
    }

    readonly #handlers: Handlers = {
        hello: () => this.#greet(),
        load: (message) => void this.load(message),
        clear: () => this.clear(),
        cameras: ({ cameras, colors, keepView = true }) => {
            void this.#loadCameras(cameras, colors, keepView);
        },
        gotoCamera: ({ camera, instant }) => this.gotoCamera(camera, instant),
        play: (message) => this.#navigation.play(message),
        pause: () => this.#navigation.pause(),
        seek: ({ t }) => this.seek(t),
        setPose: (message) => this.#setPose(message),
        reset: () => this.reset(),
        setBackground: ({ background }) => this.#changeBackground(background),
        setTheme: ({ theme, variables }) => this.#changeTheme(theme, variables),
        setView: ({ view }) => this.#changeView(view),
        screenshot: (message) => void this.#answer(message.id, () => this.#screenshot(message)),
        capture: (message) => void this.#answer(message.id, () => this.#capture(message)),
    };

    #greet(): void {
        this.#send({ v: 1, type: 'ready', version: VIEWER_VERSION });
    }

    // -----------------------------------------------------------------------------------------
    // Scenes and cameras

    /** Load a scene; the one on screen stays until the new one is ready. */
    async load(request: LoadMessage, embedded: EmbeddedScene | null = null): Promise<void> {
        this.#loading?.abort(new DOMException('another scene was asked for', 'AbortError'));
        const loading = new AbortController();
        this.#loading = loading;
        this.#lastLoad = request;
        this.#lastEmbedded = embedded;
        this.#notices.setEmpty(false);
        this.#notices.hideError();
        const start = performance.now();
        const progress = (
            stage: 'download' | 'prepare',
            received: number,
            total: number | null,
        ) => {
            const message = { v: 1, type: 'progress', stage, received, total } as const;
            this.#notices.showProgress(message, this.#stage !== null);
            this.#send(message);
        };
        try {
            const cameras = this.#camerasFor(embedded?.cameras ?? request.cameras, request.colors);
            progress('download', 0, null);
            const onProgress = (received: number, total: number | null) => {
                progress('download', received, total);
            };
            const bytes =
                embedded?.bytes ?? (await download(request.content, onProgress, loading.signal));
            const file = recogniseScene(bytes);
            progress('prepare', bytes.length, bytes.length);
            const next = await cameras;
            if (loading.signal.aborted) return;
            const stage = await Stage.create(this.#stages, file, {
                background: this.#clearColor(),
                cameras: next,
                style: this.#splatStyle(),
                view: (center, radius) => this.#firstView(request, next, center, radius),
            });
            if (loading.signal.aborted) return stage.destroy();
            this.#swap(stage, next, request);
            await nextPaint();
            this.#send({
                v: 1,
                type: 'loaded',
                content: request.content,
                splats: stage.splats,
                bytes: bytes.length,
                cameras: next.length,
                seconds: (performance.now() - start) / 1000,
            });
        } catch (error) {
            if (!loading.signal.aborted) this.fail(asViewerError(error));
        }
    }

    clear(): void {
        this.#loading?.abort(new DOMException('the scene was taken away', 'AbortError'));
        this.#loading = null;
        // Asked before the surroundings change, which settles the view anew. That of a scene goes.
        const untouched = this.#stage !== null || this.#untouched;
        this.#stage?.destroy();
        this.#stage = null;
        this.#notices.hideProgress();
        this.#notices.hideError();
        this.#surround();
        if (untouched) this.#overview = null;
        this.#render();
    }

    retry(): void {
        if (this.#lastLoad) void this.load(this.#lastLoad, this.#lastEmbedded);
    }

    async #loadCameras(
        source: string | CameraFile | null,
        colors: HexColor[] | undefined,
        keepView: boolean,
    ): Promise<void> {
        const untouched = this.#untouched;
        this.#useCameras(await this.#camerasFor(source, colors));
        this.#surround();
        if (this.#cameras.length > 0 && this.#stage === null) {
            if (untouched || !keepView) this.#lookAtCameras();
        } else if (this.#cameras.length > 0 && !keepView) {
            this.gotoCamera(0);
        }
        this.#render();
    }

    /** Whether no hand has moved the view since cameras were last looked at as a whole. */
    get #untouched(): boolean {
        return this.#overview === null || this.#overview === this.#poseKey();
    }

    /** Without a scene there is nothing to see from the cameras: look at them from behind. */
    #lookAtCameras(): void {
        this.#rig.show(overviewOf(this.#cameras), true);
        this.#overview = this.#poseKey();
        // Nobody moved: a viewer that shares this one's view is not to follow.
        this.#reported = this.#overview;
    }

    /** Never rejects: without its cameras, a scene can still be walked through. */
    async #camerasFor(
        source: string | CameraFile | null | undefined,
        colors: HexColor[] | undefined,
    ): Promise<readonly ViewCamera[]> {
        if (source === undefined) return this.#cameras;
        try {
            return await fetchCameras(source, colors);
        } catch (error) {
            this.fail(asViewerError(error));
            return [];
        }
    }

    get #cameras(): readonly ViewCamera[] {
        return this.#navigation.cameras;
    }

    #useCameras(cameras: readonly ViewCamera[]): void {
        if (cameras === this.#cameras) return;
        this.#navigation.useCameras(cameras);
        this.#frustums.setCameras(cameras);
        void this.#backdrop.setCameras(cameras, upOf(cameras)).then(() => this.#applyBackground());
        this.#shown = '';
    }

    /** Where to look from first, before anything is on screen. */
    #firstView(
        { keepView, t, camera }: LoadMessage,
        cameras: readonly ViewCamera[],
        center: Vec3,
        radius: number,
    ): View {
        if (keepView && this.#stage) return this.#rig.view();
        if (cameras.length === 0) return frontView(center, radius);
        const { pose, lens } = new CameraPath(cameras).at(
            t ?? camera ?? middleCamera(cameras.length),
        );
        return { pose, lens: cropToCanvas(lens, this.#canvas) };
    }

    #swap(stage: Stage, cameras: readonly ViewCamera[], request: LoadMessage): void {
        const previous = this.#stage;
        const keep = request.keepView === true && previous !== null;
        this.#stage = stage;
        this.#useCameras(cameras);
        this.#surround();
        const start = request.t ?? request.camera ?? middleCamera(cameras.length);
        this.#navigation.setStart(start, frontView(stage.center, stage.radius));
        stage.onLost = () => this.fail(lostGraphics());
        stage.handle.events.on('canStartVR:changed', () => this.#render());
        stage.handle.events.on('canStartAR:changed', () => this.#render());
        if (!keep) this.#navigation.reset(true);
        this.#shown = '';
        this.#notices.hideProgress();
        this.#update();
        this.#resolution.restart(performance.now());
        stage.reveal();
        previous?.destroy();
        if (request.flight && !keep) this.#navigation.takeFlight();
        this.#render();
    }

    /** Tell the rig and the overlay how large the world is and which way is up. */
    #surround(): void {
        const stage = this.#stage;
        const { middle, spread } = extentOf(this.#cameras);
        const radius = stage?.radius ?? Math.max(1, spread);
        const up = upOf(this.#cameras);
        const main = this.#cameras[middleCamera(this.#cameras.length)];
        const distance = main && stage ? stage.focusDistance(main.pose) : radius;
        this.#rig.setSurroundings({
            center: stage?.center ?? middle,
            radius,
            up,
            focusDistance: (pose: Pose) => stage?.focusDistance(pose) ?? radius,
            bounds: main && stage ? this.#boundsAt(main, distance, up) : null,
        });
        this.#frustums.setScale(distance, stage !== null);
        this.#shown = '';
    }

    #boundsAt({ pose }: ViewCamera, distance: number, up: Vec3): Bounds {
        const focus = axesOf(pose.rotation).forward.mulScalar(distance).add(pose.position);
        return new Bounds(this.#cameras, focus, up);
    }

    // -----------------------------------------------------------------------------------------
    // Views

    gotoCamera(camera: number, instant = false): void {
        if (camera <= this.#navigation.end) {
            this.#navigation.gotoCamera(camera, instant);
            this.#render();
            return;
        }
        const message = `There is no camera ${camera + 1}; the scene has ${this.#cameras.length}.`;
        this.fail(new ViewerError('bad-message', message));
    }

    backToCamera(): void {
        this.gotoCamera(this.#navigation.lastCamera);
    }

    togglePlaying(): void {
        if (this.#navigation.playing) this.#navigation.pause();
        else this.#navigation.play();
    }

    seek(t: number): void {
        this.#navigation.seek(t);
    }

    reset(): void {
        this.#navigation.reset();
        this.#render();
    }

    #setPose({ transform, fov }: SetPoseMessage): void {
        this.#navigation.pause();
        const lens = fov === undefined ? this.#rig.view().lens : lensFromFov(fov);
        this.#rig.show({ pose: poseFromMatrix(transform), lens }, true);
        this.#update();
        this.#reported = this.#poseKey();
    }

    #focusOn(x: number, y: number): void {
        const { pose, lens } = this.#rig.view();
        const { fx, fy, cx, cy } = lensOnCanvas(lens, this.#canvas);
        const ray = new Vec3((x - cx) / fx, (cy - y) / fy, -1).normalize();
        const point = this.#stage?.pick(pose, pose.rotation.transformVector(ray, ray));
        if (point) this.#rig.focus(point);
    }

    #click(x: number, y: number, reach: number): void {
        const camera = this.#frustums.hit({ x, y }, reach);
        if (camera !== null) this.gotoCamera(camera);
    }

    #hover(x: number, y: number): void {
        const camera = this.#frustums.hit({ x, y }, CLICK_REACH);
        this.#frustums.setHover(camera);
        this.#surface.classList.toggle('pointing', camera !== null);
    }

    // -----------------------------------------------------------------------------------------
    // Settings: what a person changes is reported, what the page changes is not

    setView(view: ViewSettings): void {
        this.#changeView(view);
        this.#reportView();
    }

    setBackground(background: Background): void {
        this.#changeBackground(background);
        this.#reportView();
    }

    setTheme(theme: Theme): void {
        this.#changeTheme(theme);
        this.#reportView();
    }

    #changeView(view: ViewSettings): void {
        const opening = view.compare === true && !this.#view.compare;
        this.#view = { ...this.#view, ...view };
        this.#rig.mode = this.#view.mode;
        this.#rig.free = this.#view.free;
        this.#frustums.setVisible(this.#view.frustums);
        this.#stage?.setStyle(this.#splatStyle());
        if (opening && this.#navigation.camera === null) this.backToCamera();
        this.#shown = '';
        this.#render();
    }

    #changeBackground(background: Background): void {
        this.#background = background;
        this.#applyBackground();
        this.#render();
    }

    #changeTheme(theme: Theme, variables?: ThemeVariables): void {
        this.#themeName = theme;
        this.#theme.set(theme, variables);
        this.#applyBackground();
        this.#render();
    }

    #applyBackground(): void {
        this.#root.dataset.background = this.#background;
        this.#stage?.setBackground(this.#clearColor());
        this.#shown = '';
        this.#loop.wake();
    }

    /** What the engine draws behind the splats: nothing where the scene's own colours are. */
    #clearColor(): Rgba {
        if (this.#showsBackdrop) return [0, 0, 0, 0];
        return this.#theme.colorOf(this.#background === 'scene' ? 'theme' : this.#background);
    }

    get #showsBackdrop(): boolean {
        const isThere = this.#stage !== null && this.#backdrop.hasColors;
        return this.#background === 'scene' && isThere;
    }

    #splatStyle(): SplatStyle {
        const { splatSize: size, points, opacityCutoff, fadeEdges } = this.#view;
        return { size, points, opacityCutoff, fadeEdges };
    }

    toggleSettings(): void {
        const { element } = this.#settings;
        element.hidden = !element.hidden;
        this.#toolbar.settings.setAttribute('aria-expanded', String(!element.hidden));
        const target = element.hidden ? this.#toolbar.settings : element.querySelector('input');
        target?.focus({ preventScroll: true });
    }

    toggleFullscreen(): void {
        const change = document.fullscreenElement
            ? document.exitFullscreen()
            : this.#root.requestFullscreen();
        change.catch(() => this.#notices.note('The browser refused fullscreen here.'));
    }

    toggleRecording(): void {
        if (!this.#recorder.recording) {
            this.#recorder.start();
            this.#notices.note('Recording: fly a path, then press the button again.');
        } else {
            const cameras = this.#recorder.stop();
            if (cameras) this.#send({ v: 1, type: 'recorded', cameras });
            this.#notices.note(
                cameras ? 'Path recorded.' : 'Nothing moved, so nothing was recorded.',
            );
        }
        this.#render();
    }

    showHelp(): void {
        this.#help.show();
    }

    startXr(kind: 'vr' | 'ar'): void {
        this.#stage?.handle.startXR(kind).catch((error: unknown) => {
            this.#notices.note(`The headset did not start (${asViewerError(error).message}).`);
        });
    }

    // -----------------------------------------------------------------------------------------
    // Pictures

    saveScreenshot(): void {
        this.#screenshot({ v: 1, type: 'screenshot', id: 'button' })
            .then(({ image }) => {
                html('a', { href: image, download: 'scene.png' }).click();
                this.#notices.note('Screenshot saved.');
            })
            .catch((error: unknown) => this.fail(asViewerError(error)));
    }

    async #screenshot(request: ScreenshotMessage): Promise<Picture> {
        const ratio = window.devicePixelRatio;
        const { width = this.#canvas.width * ratio, height = this.#canvas.height * ratio } =
            request;
        const size = { width: Math.round(width), height: Math.round(height) };
        const transparent = request.transparent ?? this.#background === 'transparent';
        const view = this.#rig.view();
        return this.#requireStage().picture(
            { ...size, transparent, supersample: 2 },
            this.#backdropOf(view),
        );
    }

    #backdropOf(view: View): PaintBackdrop | null {
        if (!this.#showsBackdrop) return null;
        return (context, size) => this.#backdrop.paint(context, view, size);
    }

    async #capture(request: CaptureMessage): Promise<Picture> {
        const { end } = this.#navigation;
        if (request.t > end) {
            throw new ViewerError(
                'capture-failed',
                `The path ends at ${end}, not at ${request.t}.`,
            );
        }
        const stage = this.#requireStage();
        this.seek(request.t);
        this.#update();
        const { width, height, transparent = false, supersample = 1 } = request;
        // The whole picture of the camera, and every splat as it is in the file.
        const view = new CameraPath(this.#cameras).at(request.t);
        stage.setStyle({ ...this.#splatStyle(), fadeEdges: false });
        stage.setView(view);
        try {
            await stage.settled();
            return await stage.picture(
                { width, height, transparent, supersample },
                this.#backdropOf(view),
            );
        } finally {
            stage.setStyle(this.#splatStyle());
            this.#shown = '';
            this.#loop.wake();
        }
    }

    #requireStage(): Stage {
        if (this.#stage) return this.#stage;
        throw new ViewerError('capture-failed', 'There is no scene to take a picture of.');
    }

    async #answer(id: string, take: () => Promise<Picture>): Promise<void> {
        try {
            this.#send({ v: 1, type: 'screenshot', id, ...(await take()) });
        } catch (error) {
            const { message } = asViewerError(error);
            this.#send({ v: 1, type: 'error', code: 'capture-failed', message, retry: false, id });
        }
    }

    // -----------------------------------------------------------------------------------------
    // Every frame

    /** Whether anything moved. */
    #frame(time: number, seconds: number): boolean {
        if (!this.#visible) return false;
        this.#input.update(seconds);
        this.#navigation.advance(seconds);
        const moved = this.#update();
        if (this.#recorder.recording) {
            this.#recorder.note(this.#rig.view(), this.#canvas, seconds);
        }
        this.#resolution.frame(time, moved);
        // A flight in jerks is none.
        if (this.#navigation.inFlight && this.#resolution.slow) this.#navigation.reset();
        this.#stage?.setCoarse(this.#resolution.coarse);
        this.#reportSelection();
        this.#reportPose();
        return moved;
    }

    /** Bring the screen up to date with the rig; whether anything changed. */
    #update(): boolean {
        const view = this.#rig.view();
        const key = `${this.#poseKey()} ${this.#canvas.width}×${this.#canvas.height}`;
        if (key === this.#shown) return false;
        this.#shown = key;
        this.#stage?.setView(view);
        this.#backdrop.update(view, this.#canvas, this.#showsBackdrop);
        const held = this.#rig.hold.kind !== 'free';
        this.#frustums.update(view, this.#canvas, this.#navigation.looking, held);
        this.#updateCompare(this.#navigation.looking);
        return true;
    }

    #updateCompare(looking: number | null): void {
        const camera = looking === null ? undefined : this.#cameras[looking];
        if (this.#view.compare && camera?.frame) {
            const { frame, color, lens } = camera;
            this.#compare.show(frame, color, lens, this.#canvas, this.#view.divider);
        } else {
            this.#compare.hide();
        }
    }

    #poseKey(): string {
        const { pose, lens } = this.#rig.view();
        const { hold, moving } = this.#rig;
        const { position: p, rotation: r } = pose;
        const numbers = [p.x, p.y, p.z, r.x, r.y, r.z, r.w, ...Object.values(lens)];
        return `${numbers.join()} ${hold.kind} ${moving}`;
    }

    #reportSelection(): void {
        const selected = this.#navigation.camera;
        if (selected === this.#selected) return;
        this.#selected = selected;
        this.#send({ v: 1, type: 'cameraSelected', camera: selected });
        this.#render();
    }

    #reportPose(): void {
        const key = this.#poseKey();
        if (key === this.#reported) return;
        this.#reported = key;
        const { pose, lens } = this.#rig.view();
        this.#send({
            v: 1,
            type: 'pose',
            transform: matrixFromPose(pose),
            fov: fovOnCanvas(lens, this.#canvas),
            mode: this.#view.mode,
            camera: this.#navigation.looking,
        });
    }

    #reportPlayback(): void {
        const { playing, t } = this.#navigation;
        this.#send({ v: 1, type: 'playback', playing, t });
        this.#render();
    }

    #reportView(): void {
        const [view, background, theme] = [this.#view, this.#background, this.#themeName];
        this.#send({ v: 1, type: 'viewChanged', view, background, theme });
    }

    // -----------------------------------------------------------------------------------------
    // Around it

    escape(): void {
        if (!this.#settings.element.hidden) this.toggleSettings();
        else this.#navigation.pause();
    }

    #assemble(): void {
        this.#root.append(
            this.#backdrop.element,
            this.#stages,
            this.#surface,
            this.#frustums.element,
            this.#compare.element,
            this.#notices.element,
            this.#toolbar.modes,
            this.#toolbar.actions,
            this.#settings.element,
            this.#stick.element,
            this.#timeline.element,
            this.#help.element,
        );
        this.#root.dataset.background = this.#background;
        this.#root.classList.toggle('embedded', window.parent !== window);
    }

    #watch(): void {
        for (const name of HAND_EVENTS) {
            const options = { capture: true, passive: true };
            this.#root.addEventListener(name, () => this.#loop.wake(), options);
        }
        for (const name of ['pointerdown', 'wheel', 'keydown']) {
            const stop = () => this.#navigation.inFlight && this.#navigation.pause();
            this.#root.addEventListener(name, stop, { capture: true, passive: true });
        }
        window.addEventListener('gamepadconnected', () => this.#loop.wake());
        new ResizeObserver(() => {
            const { clientWidth, clientHeight } = this.#root;
            if (!clientWidth || !clientHeight) return;
            this.#canvas = { width: clientWidth, height: clientHeight };
            this.#rig.setCanvas(this.#canvas);
            this.#loop.wake();
            this.#update();
        }).observe(this.#root);
        new IntersectionObserver(([entry]) => {
            this.#visible = entry?.isIntersecting ?? true;
            this.#loop.wake();
        }).observe(this.#root);
        const reduced = window.matchMedia('(prefers-reduced-motion: reduce)');
        const follow = () => {
            this.#rig.still = reduced.matches;
        };
        reduced.addEventListener('change', follow);
        follow();
        document.addEventListener('fullscreenchange', () => this.#render());
    }

    #render(): void {
        this.#loop.wake();
        const state = this.#uiState();
        this.#toolbar.update(state);
        this.#timeline.update(state);
        this.#settings.update(state);
        this.#stick.setVisible(state.view.mode === 'fly' && state.hasScene);
        this.#notices.setEmpty(!state.hasScene && state.colors.length === 0 && !this.#loading);
        this.#surface.dataset.mode = state.view.mode;
        this.#root.classList.toggle('no-scene', !state.hasScene);
    }

    #uiState(): UiState {
        const { camera, lastCamera, playing, t } = this.#navigation;
        const stage = this.#stage;
        return {
            view: this.#view,
            background: this.#background,
            theme: this.#themeName,
            camera,
            lastCamera,
            colors: this.#cameras.map(({ color }) => color),
            hasFrame: this.#cameras.some(({ frame }) => frame !== null),
            playing,
            t,
            hasScene: stage !== null,
            splats: stage?.splats ?? 0,
            fullscreen: document.fullscreenElement !== null,
            recording: this.#recorder.recording,
            canStartVr: stage?.handle.state.canStartVR ?? false,
            canStartAr: stage?.handle.state.canStartAR ?? false,
        };
    }

    /** Pictures drawn since the scene was loaded: it stands still while nothing moves. */
    get framesDrawn(): number {
        return this.#stage?.frames ?? 0;
    }

    /** Say what went wrong, to the person and to the page. */
    fail(error: ViewerError): void {
        // A refused message is the page's affair; a person can do nothing about it.
        if (error.code !== 'bad-message') this.#notices.showError(error);
        const { code, message, retry } = error;
        this.#send({ v: 1, type: 'error', code, message, retry });
    }
}

function lostGraphics(): ViewerError {
    const message = 'The browser took the graphics card away. Try again, or close other 3D pages.';
    return new ViewerError('no-webgl', message, true);
}

/** Resolves once the next picture is on screen. */
function nextPaint(): Promise<void> {
    return new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
    });
}
