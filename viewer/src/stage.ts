/** The engine's side: one scene on a canvas, drawn from the view it is given. */

import { defaultSettings } from '@playcanvas/supersplat-viewer/settings';
import { createViewer, type ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import {
    Color,
    type Entity,
    type GSplatData,
    type Mat4,
    Vec3,
    Vec4,
    WORKBUFFER_UPDATE_ONCE,
} from 'playcanvas';
import type { ViewCamera } from './cameras.ts';
import { ViewerError } from './errors.ts';
import { axesOf, type Pose, type Size, setProjection, turnPoint, type View } from './geometry.ts';
import type { SceneFile } from './scene_file.ts';
import { afterShown } from './shown_time.ts';

/** How splats are drawn. */
export interface SplatStyle {
    size: number;
    points: boolean;
    opacityCutoff: number;
    fadeEdges: boolean;
}

/** Channels from 0 to 1; alpha 0 shows what is behind the canvas. */
export type Rgba = readonly [number, number, number, number];

export interface Picture extends Size {
    /** PNG as a data: URL. */
    image: string;
}

export interface PictureRequest extends Size {
    transparent: boolean;
    supersample: number;
}

/** How a scene looks from its first picture on. */
export interface FirstLook {
    background: Rgba;
    style: SplatStyle;
    /** The view to start from, told the middle and the radius of the scene. */
    view: (center: Vec3, radius: number) => View;
    /** Whose pictures have borders. */
    cameras: readonly ViewCamera[];
}

/** Drawn under a picture that is not transparent. */
export type PaintBackdrop = (context: CanvasRenderingContext2D, size: Size) => void;

/** Enough points for medians, few enough to go through at every step of the hand. */
const MAX_SAMPLES = 8192;

/** Size of the dots in point mode, as a fraction of the scene's radius. */
const POINT_FRACTION = 0.0003;

/**
 * The subject is what the nearest quarter of the splats around the middle of the picture belongs to:
 * behind a thin one most are sky and ground. The cone's half width as a tangent; wider, until it has
 * enough splats for a quantile.
 */
const SUBJECT_QUANTILE = 0.25;
const SUBJECT_CONE = 0.06;
const WIDEST_CONE = 0.5;
const ENOUGH_OPACITY = 24;

/** Cameras whose pictures' borders count: as many as a shader has room for. */
const MAX_EDGE_CAMERAS = 16;
/** Width of the fade, in half widths of a picture. */
const FADE_WIDTH = 0.12;

/** The engine sorts on a worker; after this long without a new order, the order is final. */
const QUIET_MS = 250;

/** A scene that takes longer than this to appear, where it can appear, is reported as failed. */
const LOAD_TIMEOUT_MS = 60_000;

/** Runs once per splat, when a scene is loaded or its style changes. `.y` is 0 outside point mode. */
const STYLE_SHADER = /* glsl */ `
uniform vec3 splatStyle;
uniform int edgeCount;
uniform vec4 edgeRows[${3 * MAX_EDGE_CAMERAS}];
float seenInside(vec3 center) {
    float best = -1.0;
    for (int i = 0; i < ${MAX_EDGE_CAMERAS}; i++) {
        if (i >= edgeCount) break;
        vec4 point = vec4(center, 1.0);
        float depth = dot(edgeRows[3 * i + 2], point);
        if (depth <= 0.0) continue;
        vec2 place = abs(vec2(dot(edgeRows[3 * i], point), dot(edgeRows[3 * i + 1], point))) / depth;
        best = max(best, 1.0 - max(place.x, place.y));
    }
    return best;
}
void modifySplatCenter(inout vec3 center) {}
void modifySplatRotationScale(vec3 original, vec3 modified, inout vec4 rotation, inout vec3 scale) {
    scale = splatStyle.y > 0.0 ? vec3(splatStyle.x * splatStyle.y) : scale * splatStyle.x;
}
void modifySplatColor(vec3 center, inout vec4 color) {
    if (edgeCount > 0) color.a *= smoothstep(0.0, float(${FADE_WIDTH}), seenInside(center));
    if (color.a < splatStyle.z) {
        color.a = 0.0;
    } else if (splatStyle.y > 0.0) {
        color.a = 1.0;
    }
}
`;

export class Stage {
    readonly #layer: HTMLElement;
    readonly #handle: ViewerHandle;
    readonly #camera: Entity;
    readonly #look: FirstLook;
    #splats: Entity | null = null;
    #samples: Vec3[] = [];
    #opacities: number[] = [];
    #center = new Vec3();
    #radius = 1;
    #near = 0.01;
    #far = 100;
    #view: View | null = null;
    #frames = 0;
    #lastRequest = 0;

    /**
     * Build a scene in `container`, invisible until `reveal`; coarse at first, to be there sooner.
     *
     * @throws ViewerError in words
     */
    static async create(container: HTMLElement, file: SceneFile, look: FirstLook): Promise<Stage> {
        const layer = document.createElement('div');
        layer.className = 'stage-layer';
        container.append(layer);
        try {
            const handle = await openViewer(layer, file);
            const stage = new Stage(layer, handle, look);
            await stage.#untilLoaded();
            return stage;
        } catch (error) {
            layer.remove();
            throw error;
        }
    }

    private constructor(layer: HTMLElement, handle: ViewerHandle, look: FirstLook) {
        this.#layer = layer;
        this.#handle = handle;
        this.#look = look;
        const { app } = handle;
        this.#camera = app.root.findByName('camera') as Entity;
        // Their listeners sit on the window; our own follow the focus.
        handle.state.inputEnabled = false;
        this.setCoarse(true);
        // The engine leaves out what is narrower than two pixels; a rasteriser does not.
        app.scene.gsplat.minPixelSize = 0;
        app.root.on('childinsert', (child: Entity) => this.#adopt(child));
        app.on('update', () => this.#applyView());
        app.on('postrender', () => {
            this.#frames++;
        });
        app.systems.gsplat?.on('frame:request', () => {
            this.#lastRequest = performance.now();
        });
        this.#setCameraProjection();
        this.setBackground(look.background);
    }

    /** Called when the browser takes the graphics device away. */
    set onLost(handler: () => void) {
        this.#handle.app.graphicsDevice.once('devicelost', handler);
    }

    /** Number of splats. */
    get splats(): number {
        return this.#splats?.gsplat?.resource?.numSplats ?? 0;
    }

    /** Pictures drawn so far. */
    get frames(): number {
        return this.#frames;
    }

    /** Middle of the scene. */
    get center(): Vec3 {
        return this.#center;
    }

    /** Half the size of the scene, without its outliers. */
    get radius(): number {
        return this.#radius;
    }

    get handle(): ViewerHandle {
        return this.#handle;
    }

    reveal(): void {
        this.#layer.classList.add('shown');
    }

    /** Draw at half the resolution, which slow graphics need in order to keep up with the hand. */
    setCoarse(coarse: boolean): void {
        this.#handle.state.performanceMode = coarse;
    }

    destroy(): void {
        this.#handle.destroy();
        this.#layer.remove();
    }

    /** Draw from this view from now on. */
    setView(view: View): void {
        this.#view = view;
        this.redraw();
    }

    redraw(): void {
        this.#handle.app.renderNextFrame = true;
    }

    setBackground(color: Rgba): void {
        const camera = this.#camera.camera;
        if (camera) camera.clearColor = new Color(...color);
        this.redraw();
    }

    setStyle(style: SplatStyle): void {
        const splats = this.#splats?.gsplat;
        if (!splats) return;
        const point = style.points ? POINT_FRACTION * this.#radius : 0;
        splats.setParameter('splatStyle', [style.size, point, style.opacityCutoff]);
        const rows = style.fadeEdges ? edgeRows(this.#look.cameras) : new Float32Array(0);
        const room = new Float32Array(12 * MAX_EDGE_CAMERAS);
        room.set(rows);
        splats.setParameter('edgeRows[0]', room);
        splats.setParameter('edgeCount', rows.length / 12);
        splats.workBufferUpdate = WORKBUFFER_UPDATE_ONCE;
        this.redraw();
    }

    /** Depth of the subject: what stands in the middle of a view. */
    focusDistance(pose: Pose): number {
        const { right, up, forward } = axesOf(pose.rotation);
        const offset = new Vec3();
        const around = this.#samples.flatMap((point, index) => {
            offset.sub2(point, pose.position);
            const depth = offset.dot(forward);
            const side = Math.max(Math.abs(offset.dot(right)), Math.abs(offset.dot(up)));
            if (depth <= 0 || side > WIDEST_CONE * depth) return [];
            return [{ depth, tangent: side / depth, weight: this.#opacities[index] as number }];
        });
        for (let cone = SUBJECT_CONE; cone < WIDEST_CONE; cone *= 1.5) {
            const inside = around.filter(({ tangent }) => tangent < cone);
            const opacity = inside.reduce((sum, { weight }) => sum + weight, 0);
            if (opacity >= ENOUGH_OPACITY) return weightedQuantile(inside, SUBJECT_QUANTILE);
        }
        // A handful may be floaters; the middle of the scene is then the better guess.
        return Math.max(pose.position.distance(this.#center), 0.1 * this.#radius);
    }

    /** The splat in front under a direction (unit vector from the pose); null if there is none. */
    pick(pose: Pose, direction: Vec3): Vec3 | null {
        const hits = this.#samples
            .map((point) => new Vec3().sub2(point, pose.position))
            .map((offset) => ({ along: offset.dot(direction), length: offset.length() }))
            .filter(({ along, length }) => along > 0.9995 * length)
            .map(({ along }) => along);
        if (hits.length === 0) return null;
        return direction.clone().mulScalar(quantile(hits, 0.2)).add(pose.position);
    }

    /** Until the order of the splats fits the view. */
    async settled(): Promise<void> {
        const start = performance.now();
        const quiet = () => performance.now() - Math.max(start, this.#lastRequest) > QUIET_MS;
        do {
            this.redraw();
            await this.#nextFrame();
        } while (!quiet());
    }

    /** Picture of the present view. */
    async picture(
        { width, height, transparent, supersample }: PictureRequest,
        backdrop: PaintBackdrop | null = null,
    ): Promise<Picture> {
        const camera = this.#camera.camera;
        const color = camera?.clearColor.clone();
        if (camera && transparent) camera.clearColor = new Color(0, 0, 0, 0);
        try {
            const { data } = await this.#handle.captureFrame({ width, height, supersample });
            const behind = transparent ? null : backdrop;
            return { width, height, image: pngFromPremultiplied(data, width, height, behind) };
        } finally {
            if (camera && color) camera.clearColor = color;
            this.redraw();
        }
    }

    #adopt(child: Entity): void {
        if (!child.gsplat) return;
        this.#splats = child;
        this.#measure();
        child.gsplat.setWorkBufferModifier({ glsl: STYLE_SHADER });
        // Before the first picture: the splats are then sorted for the view they are shown from.
        this.setView(this.#look.view(this.#center, this.#radius));
        this.setStyle(this.#look.style);
    }

    #measure(): void {
        const centers = this.#splats?.gsplat?.resource?.centers as Float32Array | null | undefined;
        const count = centers ? centers.length / 3 : 0;
        const step = Math.max(1, Math.floor(count / MAX_SAMPLES));
        for (let i = 0; centers && i < count; i += step) {
            const [x, y, z] = centers.subarray(3 * i, 3 * i + 3) as unknown as [
                number,
                number,
                number,
            ];
            this.#samples.push(turnPoint(new Vec3(x, y, z)));
        }
        this.#opacities = this.#readOpacities(step);
        if (this.#samples.length === 0) return;
        const middle = (axis: 'x' | 'y' | 'z') =>
            quantile(
                this.#samples.map((p) => p[axis]),
                0.5,
            );
        this.#center = new Vec3(middle('x'), middle('y'), middle('z'));
        const distances = this.#samples.map((point) => point.distance(this.#center));
        this.#radius = Math.max(quantile(distances, 0.9), 1e-6);
    }

    /** Opacities of the samples; where the file's kind keeps them in pictures, all count alike. */
    #readOpacities(step: number): number[] {
        const data = this.#splats?.gsplat?.resource?.gsplatData as GSplatData | undefined;
        if (!data?.createIter || 'meta' in data) return this.#samples.map(() => 1);
        const color = new Vec4();
        // The engine's types leave out that each part may be.
        const nothing = null as unknown as undefined;
        const iterator = data.createIter(nothing, nothing, nothing, color);
        return this.#samples.map((_, index) => {
            iterator.read(index * step);
            return color.w;
        });
    }

    #applyView(): void {
        const view = this.#view;
        const camera = this.#camera.camera;
        if (!view || !camera || this.#handle.app.xr?.active) return;
        this.#camera.setPosition(view.pose.position);
        this.#camera.setRotation(view.pose.rotation);
        const reach = view.pose.position.distance(this.#center) + 20 * this.#radius;
        this.#near = reach / 10_000;
        this.#far = reach;
        camera.nearClip = this.#near;
        camera.farClip = this.#far;
    }

    #setCameraProjection(): void {
        const camera = this.#camera.camera;
        if (!camera) return;
        const { graphicsDevice } = this.#handle.app;
        camera.calculateProjection = (matrix: Mat4) => {
            if (!this.#view) return;
            const canvas = camera.renderTarget ?? graphicsDevice;
            setProjection(matrix, this.#view.lens, canvas, this.#near, this.#far);
        };
    }

    async #untilLoaded(): Promise<void> {
        const { app, events } = this.#handle;
        await new Promise<void>((resolve, reject) => {
            const fail = (message: string) => {
                this.#handle.destroy();
                reject(new ViewerError('damaged', message, true));
            };
            // The engine draws with the page: in a hidden tab a scene waits until it is looked at.
            const callOff = afterShown(LOAD_TIMEOUT_MS, () =>
                fail('The scene did not appear within a minute. Load it again.'),
            );
            app.assets.on('error', (reason: unknown) => {
                callOff();
                fail(`The scene file could not be read (${reason}). Export it again.`);
            });
            events.once('loaded:changed', () => {
                callOff();
                resolve();
            });
        });
    }

    #nextFrame(): Promise<void> {
        return new Promise((resolve) => {
            this.#handle.app.once('frameend', () => resolve());
        });
    }
}

async function openViewer(container: HTMLElement, file: SceneFile): Promise<ViewerHandle> {
    const body = new Blob([file.bytes as Uint8Array<ArrayBuffer>]);
    try {
        return await createViewer({
            container,
            settings: { ...defaultSettings(), tonemapping: 'none' },
            contentUrl: file.filename,
            contentFilename: file.filename,
            contents: Promise.resolve(new Response(body)),
            renderer: 'webgl',
            ui: false,
            nofx: true,
            noanim: true,
            // Millions of splats; fixed, because otherwise it changes with the resolution and the
            // engine goes through all splats again.
            budget: 4,
        });
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new ViewerError(
            'no-webgl',
            `The browser cannot draw in 3D here: WebGL 2 did not start (${reason}). ` +
                'Turn on hardware acceleration, or open the page in another browser.',
            true,
        );
    }
}

/** For each camera three rows: of a point's place from −1 to 1 across and down, times its depth. */
function edgeRows(cameras: readonly ViewCamera[]): Float32Array {
    // Of a long row of cameras some, evenly: neighbours see nearly the same.
    const count = Math.min(cameras.length, MAX_EDGE_CAMERAS);
    const rows = Array.from({ length: count }, (_, i) => {
        const index = count < 2 ? 0 : Math.round((i * (cameras.length - 1)) / (count - 1));
        const { pose, lens } = cameras[index] as ViewCamera;
        const { right, up, forward } = axesOf(pose.rotation);
        const row = (axis: Vec3, focal: number, center: number, side: number) => {
            const shift = (2 * center) / side - 1;
            const direction = axis
                .clone()
                .mulScalar((2 * focal) / side)
                .add(forward.clone().mulScalar(shift));
            return [direction.x, direction.y, direction.z, -direction.dot(pose.position)];
        };
        return [
            row(right, lens.fx, lens.cx, lens.width),
            row(up, lens.fy, lens.height - lens.cy, lens.height),
            [forward.x, forward.y, forward.z, -forward.dot(pose.position)],
        ].flat();
    });
    return new Float32Array(rows.flat());
}

/** PNG of base64 RGBA bytes whose colours are already multiplied by alpha. */
function pngFromPremultiplied(
    base64: string,
    width: number,
    height: number,
    backdrop: PaintBackdrop | null,
): string {
    const bytes = Uint8ClampedArray.from(atob(base64), (character) => character.charCodeAt(0));
    for (let i = 0; i < bytes.length; i += 4) {
        const alpha = bytes[i + 3] as number;
        if (alpha === 0 || alpha === 255) continue;
        for (let channel = i; channel < i + 3; channel++) {
            bytes[channel] = ((bytes[channel] as number) * 255) / alpha;
        }
    }
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d');
    if (!context) throw new ViewerError('capture-failed', 'The browser has no canvas to draw on.');
    context.putImageData(new ImageData(bytes, width, height), 0, 0);
    if (backdrop) {
        context.globalCompositeOperation = 'destination-over';
        backdrop(context, { width, height });
    }
    return canvas.toDataURL('image/png');
}

/** The depth that has this share of the weight before it. */
function weightedQuantile(items: { depth: number; weight: number }[], fraction: number): number {
    const sorted = [...items].sort((a, b) => a.depth - b.depth);
    let left = fraction * sorted.reduce((sum, { weight }) => sum + weight, 0);
    for (const { depth, weight } of sorted) {
        left -= weight;
        if (left <= 0) return depth;
    }
    return sorted.at(-1)?.depth ?? 0;
}

function quantile(values: number[], fraction: number): number {
    const sorted = Float64Array.from(values).sort();
    return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] as number;
}
