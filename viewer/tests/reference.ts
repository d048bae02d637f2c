import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file that the Python tests read as well, so that both languages agree on it. */
export function sharedReference<T>(name: string): T {
    const root = process.env.REPOSITORY ?? '..';
    return JSON.parse(readFileSync(join(root, 'tests/viewer', name), 'utf8')) as T;
}
