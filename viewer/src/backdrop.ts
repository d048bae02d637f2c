/**
 * What lies behind the splats: the colours of the frames from the sky to the ground, by elevation.
 *
 * A gradient over the picture, not a sphere: far away nothing but the elevation can be told.
 */

import { Quat, Vec3 } from 'playcanvas';
import type { ViewCamera } from './cameras.ts';
import { axesOf, lensOnCanvas, type Size, type View } from './geometry.ts';

type Rgb = [number, number, number];

/** Bins of 6° from straight down to straight up. */
const BINS = 30;
/** Pixels along a frame's side that are looked at. */
const SIDE = 32;
/** Only this outer part of a frame, to both sides: the subject stands in the middle. */
const OUTER = 0.5;
/** Where a gradient has no end: tangents grow without bound. */
const MAX_ANGLE = 1.45;

interface Gradient {
    /** Clockwise from downward, in radians. */
    turn: number;
    stops: { color: Rgb; offset: number }[];
}

export class Backdrop {
    readonly element = document.createElement('div');
    #colors: Rgb[] | null = null;
    #up = Vec3.UP.clone();
    #generation = 0;

    constructor() {
        this.element.className = 'backdrop';
    }

    /** Whether there are colours to show. */
    get hasColors(): boolean {
        return this.#colors !== null;
    }

    /** Read the cameras' frames; without any that can be read there is no backdrop. */
    async setCameras(cameras: readonly ViewCamera[], up: Vec3): Promise<void> {
        const generation = ++this.#generation;
        const samples = await Promise.all(cameras.map((camera) => colorsOf(camera, up)));
        if (generation !== this.#generation) return;
        this.#up = up;
        this.#colors = profile(samples.flat());
    }

    /** Draw for a view, or nothing. */
    update(view: View, canvas: Size, shown: boolean): void {
        const { style } = this.element;
        if (!shown || !this.#colors) {
            style.backgroundImage = '';
            return;
        }
        const { turn, stops } = this.#gradient(view, canvas);
        // CSS measures from the corner that the gradient starts at.
        const length =
            Math.abs(canvas.width * Math.sin(turn)) + Math.abs(canvas.height * Math.cos(turn));
        const placed = stops.map(({ color, offset }) => {
            return `rgb(${color.join()}) ${(offset + length / 2).toFixed(1)}px`;
        });
        style.backgroundImage = `linear-gradient(${Math.PI + turn}rad, ${placed.join()})`;
    }

    /** The same behind a picture. */
    paint(context: CanvasRenderingContext2D, view: View, size: Size): void {
        const { turn, stops } = this.#gradient(view, size);
        const [x, y] = [size.width / 2, size.height / 2];
        const reach = 4 * Math.max(size.width, size.height);
        const [dx, dy] = [-Math.sin(turn) * reach, Math.cos(turn) * reach];
        const gradient = context.createLinearGradient(x - dx, y - dy, x + dx, y + dy);
        for (const { color, offset } of stops) {
            const place = 0.5 + offset / (2 * reach);
            if (place >= 0 && place <= 1) gradient.addColorStop(place, `rgb(${color.join()})`);
        }
        context.fillStyle = gradient;
        context.fillRect(0, 0, size.width, size.height);
    }

    /** Offsets in pixels below the picture's middle, along the gradient. */
    #gradient({ pose, lens }: View, canvas: Size): Gradient {
        const { right, up, forward } = axesOf(pose.rotation);
        const { fy, cx, cy } = lensOnCanvas(lens, canvas);
        const pitch = Math.asin(Math.min(Math.max(forward.dot(this.#up), -1), 1));
        const turn = Math.atan2(right.dot(this.#up), up.dot(this.#up));
        // The principal point is where the view's own elevation is.
        const middle =
            -Math.sin(turn) * (cx - canvas.width / 2) + Math.cos(turn) * (cy - canvas.height / 2);
        const stops = (this.#colors ?? []).map((color, bin) => {
            const angle = Math.min(Math.max(elevationOf(bin) - pitch, -MAX_ANGLE), MAX_ANGLE);
            return { color, offset: middle - fy * Math.tan(angle) };
        });
        return { turn, stops: stops.reverse() };
    }
}

function elevationOf(bin: number): number {
    return ((bin + 0.5) / BINS - 0.5) * Math.PI;
}

/** Colour and bin of the outer pixels of a camera's frame; none if it cannot be read. */
async function colorsOf({ pose, lens, frame }: ViewCamera, up: Vec3) {
    if (!frame) return [];
    const image = new Image();
    image.src = frame;
    try {
        await image.decode();
        const context = new OffscreenCanvas(SIDE, SIDE).getContext('2d');
        context?.drawImage(image, 0, 0, SIDE, SIDE);
        const data = context?.getImageData(0, 0, SIDE, SIDE).data;
        if (!data) return [];
        const local = new Quat().copy(pose.rotation).conjugate().transformVector(up, new Vec3());
        const found: { color: Rgb; bin: number }[] = [];
        for (let index = 0; index < SIDE * SIDE; index++) {
            const [column, row] = [index % SIDE, Math.floor(index / SIDE)];
            if (Math.abs((2 * (column + 0.5)) / SIDE - 1) < OUTER) continue;
            const x = (((column + 0.5) / SIDE) * lens.width - lens.cx) / lens.fx;
            const y = (lens.cy - ((row + 0.5) / SIDE) * lens.height) / lens.fy;
            const ray = new Vec3(x, y, -1).normalize();
            const elevation = Math.asin(Math.min(Math.max(ray.dot(local), -1), 1));
            const bin = Math.min(BINS - 1, Math.floor((elevation / Math.PI + 0.5) * BINS));
            const color = [...data.subarray(4 * index, 4 * index + 3)] as Rgb;
            found.push({ color, bin });
        }
        return found;
    } catch {
        // A frame of another site may be shown, not read.
        return [];
    }
}

/** One colour a bin: the median of its pixels; empty bins take the nearest one's. */
export function profile(samples: readonly { color: Rgb; bin: number }[]): Rgb[] | null {
    if (samples.length === 0) return null;
    const bins: (Rgb | null)[] = Array.from({ length: BINS }, (_, bin) => {
        const colors = samples.filter((sample) => sample.bin === bin).map(({ color }) => color);
        if (colors.length === 0) return null;
        return [0, 1, 2].map((channel) => {
            const values = colors.map((color) => color[channel] as number).sort((a, b) => a - b);
            return values[Math.floor(values.length / 2)];
        }) as Rgb;
    });
    const known = bins.flatMap((color, bin) => (color ? [bin] : []));
    const filled = bins.map((color, bin) => {
        const nearest = known.reduce((a, b) => (Math.abs(b - bin) < Math.abs(a - bin) ? b : a));
        return color ?? (bins[nearest] as Rgb);
    });
    // A step of noise between two bins would show as a band across the whole sky.
    return filled.map((color, bin) => {
        const [before, after] = [filled[bin - 1] ?? color, filled[bin + 1] ?? color];
        return color.map((value, channel) => {
            const sides = (before[channel] as number) + (after[channel] as number);
            return Math.round((2 * value + sides) / 4);
        }) as Rgb;
    });
}
