import assert from 'node:assert/strict';
import test from 'node:test';
import { ViewerError } from '../src/errors.ts';
import { recogniseScene } from '../src/scene_file.ts';

const PROPERTIES = [
    'x',
    'y',
    'z',
    'f_dc_0',
    'f_dc_1',
    'f_dc_2',
    'opacity',
    'scale_0',
    'scale_1',
    'scale_2',
    'rot_0',
    'rot_1',
    'rot_2',
    'rot_3',
];

function ply(count: number, { properties = PROPERTIES, format = 'binary_little_endian' } = {}) {
    const lines = properties.map((name) => `property float ${name}`);
    const head = [
        'ply',
        `format ${format} 1.0`,
        `element vertex ${count}`,
        ...lines,
        'end_header',
        '',
    ];
    const body = new Uint8Array(count * properties.length * 4);
    return Uint8Array.from([...new TextEncoder().encode(head.join('\n')), ...body]);
}

function refusal(bytes: Uint8Array): ViewerError {
    try {
        recogniseScene(bytes);
    } catch (error) {
        assert.ok(error instanceof ViewerError);
        return error;
    }
    throw new assert.AssertionError({ message: 'the file was taken' });
}

const text = (value: string) => new TextEncoder().encode(value);

test('a splat PLY is known by its bytes and counted by its header', () => {
    assert.deepEqual(recogniseScene(ply(3)).splats, 3);
    assert.equal(recogniseScene(ply(3)).filename, 'scene.ply');
});

test('a compressed PLY has its chunks counted in its length', () => {
    const packed = ['packed_position', 'packed_rotation', 'packed_scale', 'packed_color'];
    const head = [
        'ply',
        'format binary_little_endian 1.0',
        'element chunk 1',
        'property float min_x',
        'element vertex 5',
        ...packed.map((name) => `property uint ${name}`),
        'end_header',
        '',
    ].join('\n');
    const whole = Uint8Array.from([...text(head), ...new Uint8Array(4 + 5 * 16)]);
    assert.equal(recogniseScene(whole).splats, 5);
    assert.equal(refusal(whole.subarray(0, whole.length - 1)).code, 'damaged');
});

test('a SOG bundle is a zip file', () => {
    assert.equal(recogniseScene(text('PK\u0003\u0004 and more')).filename, 'scene.sog');
});

test('a file cut off says so in bytes, and can be tried again', () => {
    const whole = ply(10);
    const error = refusal(whole.subarray(0, whole.length - 20));
    assert.equal(error.code, 'damaged');
    assert.match(
        error.message,
        new RegExp(`ends after ${whole.length - 20} of ${whole.length} bytes`),
    );
    assert.ok(error.retry);
});

test('other files are told apart in words', () => {
    const cases: [Uint8Array, string, RegExp][] = [
        [text('  <!DOCTYPE html><html></html>'), 'not-a-scene', /web page/],
        [text('\u001f\u008b'), 'unsupported-format', /not a scene file/],
        [Uint8Array.from([0x1f, 0x8b, 8]), 'unsupported-format', /\.spz/],
        [text('{"a": 1}'), 'unsupported-format', /not a scene file/],
        [new Uint8Array(), 'damaged', /empty/],
        [text('ply\nformat'), 'damaged', /header/],
        [ply(0), 'not-a-scene', /no splats/],
        [ply(2, { properties: ['x', 'y', 'z'] }), 'not-a-scene', /points or a mesh/],
        [ply(2, { format: 'ascii' }), 'unsupported-format', /ascii/],
    ];
    for (const [bytes, code, words] of cases) {
        const error = refusal(bytes);
        assert.equal(error.code, code);
        assert.match(error.message, words);
    }
});

test('a header with nonsense in it is refused', () => {
    const broken = (from: string, to: string) => {
        const source = new TextDecoder('latin1').decode(ply(1));
        return refusal(Uint8Array.from([...source.replace(from, to)].map((c) => c.charCodeAt(0))));
    };
    assert.match(broken('element vertex 1', 'element vertex many').message, /how many points/);
    assert.match(broken('property float x', 'property vec3 x').message, /property vec3 x/);
    assert.match(broken('element vertex', 'element face').message, /lists no points/);
});
