import { Quat, Vec3 } from 'playcanvas';
import type { Pose } from '../src/geometry.ts';

/** Numbers in [0, 1), the same in every run (mulberry32). */
export function randomNumbers(seed: number): () => number {
    let state = seed;
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

export function randomVector(random: () => number): Vec3 {
    return new Vec3(random() * 2 - 1, random() * 2 - 1, random() * 2 - 1);
}

export function randomPose(random: () => number): Pose {
    const axis = randomVector(random).normalize();
    const rotation = new Quat().setFromAxisAngle(axis, random() * 360);
    return { position: randomVector(random), rotation };
}
