import assert from 'node:assert/strict';
import test from 'node:test';
import { profile } from '../src/backdrop.ts';

test('the colours of sky and ground go on to straight up and straight down', () => {
    const sky = { color: [100, 150, 250] as [number, number, number], bin: 20 };
    const ground = { color: [60, 120, 40] as [number, number, number], bin: 10 };
    const colors = profile([sky, sky, ground]);
    assert.ok(colors);
    assert.deepEqual(colors.at(-1), sky.color);
    assert.deepEqual(colors[0], ground.color);
});

test('a thing before the sky does not colour it', () => {
    const sky = Array.from({ length: 9 }, () => ({
        color: [100, 150, 250] as [number, number, number],
        bin: 20,
    }));
    const kite = { color: [255, 0, 0] as [number, number, number], bin: 20 };
    assert.deepEqual(profile([...sky, kite]), profile(sky));
});

test('without frames there is no backdrop', () => {
    assert.equal(profile([]), null);
});
