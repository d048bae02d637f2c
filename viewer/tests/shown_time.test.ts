import assert from 'node:assert/strict';
import test from 'node:test';
import { afterShown } from '../src/shown_time.ts';

/** A browser whose pictures come when the test says so. */
function fakeBrowser(): { draw: (at: number) => void } {
    let now = 0;
    let next: (() => void) | null = null;
    Object.assign(globalThis, {
        requestAnimationFrame: (callback: () => void) => {
            next = callback;
            return 1;
        },
        cancelAnimationFrame: () => {
            next = null;
        },
    });
    performance.now = () => now;
    return {
        draw: (at) => {
            now = at;
            const callback = next;
            next = null;
            callback?.();
        },
    };
}

test('time counts while pictures are drawn', () => {
    const browser = fakeBrowser();
    let called = 0;
    afterShown(2000, () => called++);
    for (let at = 100; at < 2000; at += 100) browser.draw(at);
    assert.equal(called, 0);
    browser.draw(2000);
    browser.draw(2100);
    assert.equal(called, 1);
});

test('an hour in a hidden tab counts as a moment', () => {
    const browser = fakeBrowser();
    let called = 0;
    afterShown(2000, () => called++);
    browser.draw(100);
    browser.draw(3_600_000);
    assert.equal(called, 0);
    for (let at = 3_600_500; at <= 3_601_000; at += 100) browser.draw(at);
    assert.equal(called, 1);
});

test('it can be called off', () => {
    const browser = fakeBrowser();
    let called = 0;
    afterShown(100, () => called++)();
    browser.draw(200);
    assert.equal(called, 0);
});
