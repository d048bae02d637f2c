import assert from 'node:assert/strict';
import type { Quat, Vec3 } from 'playcanvas';

/** Equal up to `tolerance` in every entry. The engine's matrices are float32: 1e-6 of 1. */
export function assertClose(
    actual: readonly number[],
    expected: readonly number[],
    tolerance = 1e-6,
): void {
    assert.equal(actual.length, expected.length);
    const worst = Math.max(0, ...actual.map((value, i) => Math.abs(value - (expected[i] ?? NaN))));
    assert.ok(worst <= tolerance, `${actual} differs from ${expected} by ${worst}`);
}

export function entries(vector: Vec3): number[] {
    return [vector.x, vector.y, vector.z];
}

/** Angle between two rotations in degrees; exact near zero, where the arccosine is not. */
export function angleBetween(a: Quat, b: Quat): number {
    const difference = a.clone().conjugate().mul(b);
    const sine = Math.hypot(difference.x, difference.y, difference.z);
    return (Math.atan2(sine, Math.abs(difference.w)) * 360) / Math.PI;
}
