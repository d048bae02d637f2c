/**
 * Frustums of the cameras over the splats.
 *
 * Drawn as SVG: the engine's lines are one pixel wide and not antialiased.
 */

import { Vec3 } from 'playcanvas';
import type { ViewCamera } from './cameras.ts';
import { setAttributes, svg } from './dom.ts';
import { lensOnCanvas, projectPoint, type Size, toCamera, type View } from './geometry.ts';

interface Point {
    x: number;
    y: number;
}

interface Frustum {
    camera: ViewCamera;
    group: SVGGElement;
    paths: SVGPathElement[];
    label: SVGGElement;
    /** What is on screen, for hit tests. */
    segments: [Point, Point][];
    apex: Point | null;
}

/** Corners of the frame, apex, and the tip of the mark on the upper edge, as indices of lines. */
const LINES: readonly (readonly [number, number])[] = [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 0],
    [4, 0],
    [4, 1],
    [4, 2],
    [4, 3],
    [5, 6],
    [6, 7],
];

const LABEL_RADIUS = 8;
/** More labels than this would only cover each other. */
const MAX_LABELS = 32;

export class FrustumOverlay {
    readonly element = svg('svg', { class: 'frustums', 'aria-hidden': 'true' });
    #frustums: Frustum[] = [];
    #size = 0.1;
    /** Frustums as near as this are in the way of the view. */
    #nearby = 0.1;
    #visible = true;

    setCameras(cameras: readonly ViewCamera[]): void {
        const labelled = cameras.length <= MAX_LABELS;
        this.#frustums = cameras.map(newFrustum);
        // Labels lie over all lines.
        this.element.replaceChildren(
            ...this.#frustums.map(({ group }) => group),
            ...(labelled ? this.#frustums.map(({ label }) => label) : []),
        );
    }

    setVisible(visible: boolean): void {
        this.#visible = visible;
        this.element.classList.toggle('hidden', !visible);
    }

    /**
     * Depth of the drawn frustums, from how far apart cameras stand and how far away what they look
     * at is. Small beside a scene, which they must not hide.
     */
    setScale(distance: number, hasScene: boolean): void {
        const centers = this.#frustums.map(({ camera }) => camera.pose.position);
        const steps = centers.slice(1).map((center, i) => center.distance(centers[i] as Vec3));
        const mean = steps.length ? steps.reduce((sum, step) => sum + step, 0) / steps.length : 0;
        const [share, least, most] = hasScene ? [0.3, 0.02, 0.05] : [0.5, 0.06, 0.18];
        this.#size = Math.min(Math.max(share * mean, least * distance), most * distance);
        this.#nearby = hasScene ? 0.3 * distance : this.#size;
    }

    /** Mark one frustum as the one under the pointer. */
    setHover(index: number | null): void {
        for (const [i, { group }] of this.#frustums.entries()) {
            group.classList.toggle('hover', i === index);
        }
    }

    /**
     * Draw from a view. The camera that looks is left out: its lines would be the screen's edges.
     *
     * @param wholeOnly leave out those whose camera is not in the picture: from one camera of a row,
     *     the others are stray lines at the edges
     */
    update(view: View, canvas: Size, looking: number | null, wholeOnly: boolean): void {
        if (!this.#visible) return;
        setAttributes(this.element, { viewBox: `0 0 ${canvas.width} ${canvas.height}` });
        for (const [index, frustum] of this.#frustums.entries()) {
            const near = frustum.camera.pose.position.distance(view.pose.position) < this.#nearby;
            const seen = projectPoint(frustum.camera.pose.position, view.pose, view.lens, canvas);
            const hidden = index === looking || near || (wholeOnly && !isInside(seen, canvas));
            frustum.group.classList.toggle('hidden', hidden);
            this.#project(frustum, view, canvas, hidden);
        }
    }

    /** The frustum at a point of the canvas, within `reach` pixels. */
    hit(point: Point, reach: number): number | null {
        if (!this.#visible) return null;
        let best: number | null = null;
        let bestDistance = reach;
        for (const [index, { segments, apex }] of this.#frustums.entries()) {
            const label = apex ? Math.max(0, distance(point, apex) - LABEL_RADIUS) : Infinity;
            const lines = segments.map(([a, b]) => distanceToSegment(point, a, b));
            const nearest = Math.min(label, ...lines);
            if (nearest < bestDistance) [best, bestDistance] = [index, nearest];
        }
        return best;
    }

    #project(frustum: Frustum, view: View, canvas: Size, hidden: boolean): void {
        const points = hidden
            ? []
            : this.#pointsOf(frustum.camera).map((p) => toCamera(p, view.pose));
        const lens = lensOnCanvas(view.lens, canvas);
        const near = 0.05 * this.#size;
        const onCanvas = ({ x, y, z }: Vec3) => {
            return { x: lens.cx - (lens.fx * x) / z, y: lens.cy + (lens.fy * y) / z };
        };
        frustum.segments = [];
        for (const [from, to] of LINES) {
            const [a, b] = [points[from], points[to]];
            const clipped = a && b ? clipToNear(a, b, near) : null;
            if (clipped) frustum.segments.push([onCanvas(clipped[0]), onCanvas(clipped[1])]);
        }
        const apex = points[4];
        frustum.apex = apex && apex.z < -near ? onCanvas(apex) : null;
        const data = frustum.segments.map(([a, b]) => `M${show(a)}L${show(b)}`).join('');
        for (const path of frustum.paths) path.setAttribute('d', data);
        frustum.label.classList.toggle('hidden', frustum.apex === null);
        if (frustum.apex)
            frustum.label.setAttribute('transform', `translate(${show(frustum.apex)})`);
    }

    /** Corners of the frame, apex, and the mark that shows which edge is the upper one. */
    #pointsOf({ pose, lens }: ViewCamera): Vec3[] {
        const at = (u: number, v: number, depth = this.#size) => {
            const ray = new Vec3((u - lens.cx) / lens.fx, (lens.cy - v) / lens.fy, -1);
            return pose.rotation.transformVector(ray.mulScalar(depth), ray).add(pose.position);
        };
        const { width, height } = lens;
        return [
            at(0, 0),
            at(width, 0),
            at(width, height),
            at(0, height),
            at(0, 0, 0),
            at(0.35 * width, 0),
            at(0.5 * width, -0.18 * height),
            at(0.65 * width, 0),
        ];
    }
}

function newFrustum(camera: ViewCamera, index: number): Frustum {
    const paths = [svg('path', { class: 'halo' }), svg('path', { stroke: camera.color })];
    const label = svg(
        'g',
        { class: 'label' },
        svg('circle', { r: LABEL_RADIUS, fill: camera.color }),
        svg('text', { fill: inkOn(camera.color) }, String(index + 1)),
    );
    const group = svg('g', {}, ...paths);
    return { camera, group, paths, label, segments: [], apex: null };
}

/** Black or white, whichever reads better on a colour (contrast by relative luminance). */
export function inkOn(color: string): string {
    const [r, g, b] = [1, 3, 5].map((start) => {
        const level = Number.parseInt(color.slice(start, start + 2), 16) / 255;
        return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 ? '#ffffff' : '#000000';
}

/** The part of a line in front of the camera (z < −near); null if there is none. */
function clipToNear(a: Vec3, b: Vec3, near: number): [Vec3, Vec3] | null {
    if (a.z > -near && b.z > -near) return null;
    const crossing = () => new Vec3().lerp(a, b, (-near - a.z) / (b.z - a.z));
    if (a.z > -near) return [crossing(), b];
    if (b.z > -near) return [a, crossing()];
    return [a, b];
}

function isInside(point: Point | null, { width, height }: Size): boolean {
    return point !== null && point.x > 0 && point.x < width && point.y > 0 && point.y < height;
}

function distance(a: Point, b: Point): number {
    return Math.hypot(a.x - b.x, a.y - b.y);
}

function distanceToSegment(point: Point, a: Point, b: Point): number {
    const squared = distance(a, b) ** 2;
    const along = ((point.x - a.x) * (b.x - a.x) + (point.y - a.y) * (b.y - a.y)) / (squared || 1);
    const fraction = Math.min(Math.max(along, 0), 1);
    return distance(point, { x: a.x + fraction * (b.x - a.x), y: a.y + fraction * (b.y - a.y) });
}

function show({ x, y }: Point): string {
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
}
