import assert from 'node:assert/strict';
import test from 'node:test';
import schema from '../generated/protocol.schema.json' with { type: 'json' };
import { requestsFromAddress } from '../src/address.ts';
import { VIEW_COLORS } from '../src/cameras.ts';
import { PROTOCOL_VERSION } from '../src/protocol.ts';
import { checkAgainstSchema } from '../src/schema.ts';
import { sharedReference } from './reference.ts';

interface Examples {
    view_colors: string[];
    valid: { direction: string; message: unknown }[];
    invalid: { direction: string; message: unknown; problem: string }[];
}

const examples = sharedReference<Examples>('message_examples.json');

test('good messages pass, and every type has an example', () => {
    for (const { direction, message } of examples.valid) {
        assert.equal(checkAgainstSchema(message, direction), null, JSON.stringify(message));
    }
    for (const direction of ['HostMessage', 'ViewerMessage'] as const) {
        const given = examples.valid.filter((example) => example.direction === direction);
        const types = new Set(given.map(({ message }) => (message as { type: string }).type));
        assert.equal(types.size, schema.definitions[direction].anyOf.length);
    }
});

test('bad messages are refused with the reason', () => {
    for (const { direction, message, problem } of examples.invalid) {
        const found = checkAgainstSchema(message, direction);
        assert.match(found ?? 'passed', new RegExp(problem), JSON.stringify(message));
    }
});

test('names that every object has are no properties of a message', () => {
    const message = JSON.parse('{"v": 1, "type": "hello", "constructor": 1, "__proto__": 2}');
    assert.match(checkAgainstSchema(message, 'HostMessage') ?? 'passed', /unknown entry/);
});

test('every message carries the version of the protocol', () => {
    assert.equal(schema.version, PROTOCOL_VERSION);
    const definitions: Record<string, unknown> = schema.definitions;
    for (const direction of ['HostMessage', 'ViewerMessage'] as const) {
        for (const { $ref } of schema.definitions[direction].anyOf) {
            const name = $ref.replace('#/definitions/', '');
            const { properties } = definitions[name] as { properties: { v: { const: number } } };
            assert.equal(properties.v.const, PROTOCOL_VERSION);
        }
    }
});

test('the colours of the views are those of the package', () => {
    assert.deepEqual(VIEW_COLORS, examples.view_colors);
});

test('the address asks for a scene, cameras, a place and a look', () => {
    const address = 'http://h/?content=a.ply&cameras=t.json&camera=3&theme=dark&background=light';
    const { requests, problem } = requestsFromAddress(new URL(address));
    assert.equal(problem, null);
    assert.deepEqual(requests, [
        { v: 1, type: 'setTheme', theme: 'dark' },
        { v: 1, type: 'setBackground', background: 'light' },
        { v: 1, type: 'load', content: 'a.ply', cameras: 't.json', camera: 3 },
    ]);
    const cameras = requestsFromAddress(new URL('http://h/?cameras=t.json')).requests;
    assert.deepEqual(cameras, [{ v: 1, type: 'cameras', cameras: 't.json', keepView: false }]);
    assert.deepEqual(requestsFromAddress(new URL('http://h/')).requests, []);
});

test('what does not fit in an address is said, the rest is done', () => {
    const { requests, problem } = requestsFromAddress(
        new URL('http://h/?content=a.ply&theme=pink'),
    );
    assert.match(problem?.message ?? '', /theme must be one of auto, light, dark/);
    assert.deepEqual(requests, [{ v: 1, type: 'load', content: 'a.ply' }]);
    const bad = requestsFromAddress(new URL('http://h/?content=a.ply&camera=x'));
    assert.match(bad.problem?.message ?? '', /camera must be integer/);
});
