/** Bundles the tests, which Node cannot read as TypeScript, and runs them. */

import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleOptions, writeSchema } from '../build.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const names = (await readdir(here)).filter((name) => name.endsWith('.test.ts'));
// Inside the package, so that the bundles find `node_modules`.
const folder = await mkdtemp(join(here, '../node_modules/.tests-'));
try {
    await writeSchema();
    await build({
        ...bundleOptions,
        entryPoints: names.map((name) => join(here, name)),
        outdir: folder,
        outExtension: { '.js': '.mjs' },
        format: 'esm',
        platform: 'node',
        external: ['playcanvas', 'lucide'],
    });
    const files = names.map((name) => join(folder, name.replace(/\.ts$/, '.mjs')));
    const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...files], {
        stdio: 'inherit',
        env: { ...process.env, REPOSITORY: join(here, '../..') },
    });
    process.exitCode = status ?? 1;
} finally {
    await rm(folder, { recursive: true, force: true });
}
