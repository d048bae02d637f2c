/** Builds the viewer into the package: the protocol's schema, the bundle, the page, the licences. */

import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { createGenerator } from 'ts-json-schema-generator';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** A folder of the Python package, so that its wheel brings the viewer. */
const BUILT = here('../videorfsplat/ui/viewer');
const packageFile = JSON.parse(await readFile(here('package.json'), 'utf8'));

/** The keywords of JSON Schema that `src/schema.ts` understands. */
const KEYWORDS = [
    '$ref',
    'additionalProperties',
    'anyOf',
    'const',
    'description',
    'enum',
    'items',
    'maxItems',
    'maximum',
    'minItems',
    'minLength',
    'minimum',
    'pattern',
    'properties',
    'required',
    'type',
];

/** The engine's viewer loads models of headset controllers from a server; ours needs none. */
const withoutControllerModels = {
    name: 'without-controller-models',
    setup({ onResolve }) {
        onResolve({ filter: /\/xr-controllers\.mjs$/ }, () => ({
            path: here('src/xr_controllers.ts'),
        }));
    },
};

/** The types of `src/protocol.ts` that are looked up by name; the others come with them. */
const ROOT_TYPES = ['HostMessage', 'ViewerMessage'];

export async function writeSchema() {
    const schemas = ROOT_TYPES.map((type) => {
        const path = here('src/protocol.ts');
        const config = { path, tsconfig: here('tsconfig.json'), type, additionalProperties: false };
        return createGenerator(config).createSchema(type);
    });
    const definitions = Object.assign({}, ...schemas.map((schema) => schema.definitions));
    checkKeywords(Object.values(definitions));
    const sorted = Object.fromEntries(
        Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    const schema = {
        $schema: schemas[0].$schema,
        version: await protocolVersion(),
        definitions: sorted,
    };
    await mkdir(here('generated'), { recursive: true });
    await writeFile(here('generated/protocol.schema.json'), `${JSON.stringify(schema, null, 2)}\n`);
}

async function protocolVersion() {
    const source = await readFile(here('src/protocol.ts'), 'utf8');
    return Number(source.match(/^export const PROTOCOL_VERSION = (\d+);$/m)[1]);
}

/** `src/schema.ts` ignores keywords that it does not know, so there must be none. */
function checkKeywords(schemas) {
    for (const schema of schemas) {
        const unknown = Object.keys(schema).find((keyword) => !KEYWORDS.includes(keyword));
        if (unknown) throw new Error(`src/schema.ts does not understand the keyword ${unknown}`);
        const { properties = {}, items = [], anyOf = [] } = schema;
        checkKeywords([...Object.values(properties), ...[items].flat(), ...anyOf]);
    }
}

async function writeLicences(inputs) {
    const packages = new Set(
        inputs.flatMap((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []),
    );
    const texts = [...packages].sort().map(async (name) => {
        const { version } = JSON.parse(
            await readFile(here(`node_modules/${name}/package.json`), 'utf8'),
        );
        const text = await readFile(here(`node_modules/${name}/LICENSE`), 'utf8');
        return `${name} ${version}\n\n${text.trim()}\n`;
    });
    const rule = `\n${'-'.repeat(80)}\n\n`;
    await writeFile(`${BUILT}/LICENSES.txt`, (await Promise.all(texts)).join(rule));
}

export const bundleOptions = {
    bundle: true,
    define: { VIEWER_VERSION: JSON.stringify(packageFile.version) },
    external: ['node:worker_threads'],
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [withoutControllerModels],
    target: ['es2022'],
};

async function writeBundle() {
    await rm(BUILT, { recursive: true, force: true });
    const { metafile } = await build({
        ...bundleOptions,
        absWorkingDir: here('.'),
        entryPoints: { viewer: 'src/main.ts' },
        outdir: BUILT,
        format: 'iife',
        minify: true,
        metafile: true,
    });
    await copyFile(here('src/index.html'), `${BUILT}/index.html`);
    await copyFile(here('generated/protocol.schema.json'), `${BUILT}/protocol.schema.json`);
    await writeLicences(Object.keys(metafile.inputs));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    await writeSchema();
    if (!process.argv.includes('--schema-only')) await writeBundle();
}
