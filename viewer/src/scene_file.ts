/** What a downloaded scene file is, judged by its bytes. */

import { ViewerError } from './errors.ts';

export interface SceneFile {
    bytes: Uint8Array;
    /** A name by whose ending the engine chooses its parser. */
    filename: 'scene.ply' | 'scene.sog';
    /** Number of splats, where the header says it. */
    splats: number | null;
}

const OTHER_FORMATS = 'The viewer opens .ply, .compressed.ply and .sog files.';

/** Bytes of one value of each PLY type. */
const PLY_TYPES: Readonly<Record<string, number>> = {
    char: 1,
    uchar: 1,
    short: 2,
    ushort: 2,
    int: 4,
    uint: 4,
    float: 4,
    double: 8,
};

const SPLAT_PROPERTIES = [
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
const PACKED_PROPERTIES = ['packed_position', 'packed_rotation', 'packed_scale', 'packed_color'];

/** A header longer than this is none: 64 lines of 64 characters. */
const MAX_HEADER = 4096;

interface PlyElement {
    name: string;
    count: number;
    stride: number;
    properties: string[];
}

/**
 * Recognise a scene file.
 *
 * @throws ViewerError in words, if it is no scene, of a format the viewer cannot draw, or cut off
 */
export function recogniseScene(bytes: Uint8Array): SceneFile {
    if (startsWith(bytes, 'ply\n')) {
        return { bytes, filename: 'scene.ply', splats: checkPly(bytes) };
    }
    if (startsWith(bytes, 'PK\u0003\u0004')) return { bytes, filename: 'scene.sog', splats: null };
    if (startsWith(bytes, '\u001f\u008b') || startsWith(bytes, 'NGSP')) {
        throw new ViewerError(
            'unsupported-format',
            `This looks like an .spz file. ${OTHER_FORMATS}`,
        );
    }
    const start = new TextDecoder('latin1')
        .decode(bytes.subarray(0, 256))
        .trimStart()
        .toLowerCase();
    if (start.startsWith('<!doctype') || start.startsWith('<html')) {
        throw new ViewerError(
            'not-a-scene',
            'The address answered with a web page instead of a scene. Check the address.',
            true,
        );
    }
    if (bytes.length === 0) {
        throw new ViewerError('damaged', 'The scene file is empty. Export it again.', true);
    }
    throw new ViewerError('unsupported-format', `This is not a scene file. ${OTHER_FORMATS}`);
}

/** Check header and length of a PLY; the number of splats in it. */
function checkPly(bytes: Uint8Array): number {
    const header = new TextDecoder('latin1').decode(bytes.subarray(0, MAX_HEADER));
    const end = header.indexOf('\nend_header\n');
    if (end < 0) throw damaged('its header has no end');
    const elements = parseHeader(header.slice(0, end).split('\n'));
    const vertices = elements.find((element) => element.name === 'vertex');
    if (!vertices) throw damaged('it lists no points');
    const has = (names: string[]) => names.every((name) => vertices.properties.includes(name));
    if (!has(SPLAT_PROPERTIES) && !has(PACKED_PROPERTIES)) {
        throw new ViewerError(
            'not-a-scene',
            'This .ply holds points or a mesh, no Gaussian splats.',
        );
    }
    if (vertices.count === 0)
        throw new ViewerError('not-a-scene', 'The scene has no splats in it.');
    const body = elements.reduce((sum, { count, stride }) => sum + count * stride, 0);
    const expected = end + '\nend_header\n'.length + body;
    if (bytes.length < expected) {
        throw damaged(`it ends after ${bytes.length} of ${expected} bytes`);
    }
    return vertices.count;
}

function parseHeader(lines: string[]): PlyElement[] {
    const elements: PlyElement[] = [];
    for (const line of lines) {
        const [keyword, first = '', second = ''] = line.trim().split(/\s+/);
        if (keyword === 'format' && first !== 'binary_little_endian') {
            throw new ViewerError(
                'unsupported-format',
                `This .ply is ${first}; the viewer reads binary_little_endian.`,
            );
        }
        if (keyword === 'element') {
            elements.push({ name: first, count: Number(second), stride: 0, properties: [] });
        }
        if (keyword === 'property') {
            const element = elements.at(-1);
            const size = PLY_TYPES[first];
            if (!element || size === undefined) throw damaged(`its header says “${line}”`);
            element.stride += size;
            element.properties.push(second);
        }
    }
    if (elements.some(({ count }) => !Number.isInteger(count) || count < 0)) {
        throw damaged('its header does not say how many points there are');
    }
    return elements;
}

function startsWith(bytes: Uint8Array, text: string): boolean {
    return [...text].every((character, index) => bytes[index] === character.charCodeAt(0));
}

function damaged(reason: string): ViewerError {
    const advice = 'Load it again, or export it again.';
    return new ViewerError('damaged', `The scene file is damaged: ${reason}. ${advice}`, true);
}
