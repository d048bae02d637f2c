import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { download, formatBytes } from '../src/download.ts';
import { ViewerError } from '../src/errors.ts';

const BODY = new Uint8Array(100_000).map((_, index) => index % 251);

async function serving<T>(answer: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
    const server: Server = createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
        return await use(`http://127.0.0.1:${port}/scene.ply?key=secret`);
    } finally {
        server.closeAllConnections();
        server.close();
    }
}

async function failure(url: string, signal = new AbortController().signal): Promise<ViewerError> {
    const error = await download(url, () => {}, signal).then(
        () => assert.fail('the download worked'),
        (reason: unknown) => reason,
    );
    assert.ok(error instanceof ViewerError, String(error));
    return error;
}

test('bytes arrive whole, with progress up to the announced size', async () => {
    const seen: [number, number | null][] = [];
    const answer: RequestListener = (_, response) => {
        response.setHeader('content-length', BODY.length);
        response.end(BODY);
    };
    const bytes = await serving(answer, (url) => {
        return download(url, (...step) => seen.push(step), new AbortController().signal);
    });
    assert.deepEqual(bytes, BODY);
    assert.deepEqual(seen[0], [0, BODY.length]);
    assert.deepEqual(seen.at(-1), [BODY.length, BODY.length]);
});

test('a size that the server does not say is not made up', async () => {
    let total: number | null = -1;
    const answer: RequestListener = (_, response) => {
        response.write(BODY.subarray(0, 10));
        response.end(BODY.subarray(10));
    };
    await serving(answer, (url) => {
        return download(url, (_, size) => (total = size), new AbortController().signal);
    });
    assert.equal(total, null);
});

test('a missing file, a refusal and a lost connection are told apart, without the query', async () => {
    const status = (code: number) => {
        return serving((_, response) => response.writeHead(code).end(), failure);
    };
    const missing = await status(404);
    assert.equal(missing.code, 'not-found');
    assert.match(missing.message, /“scene\.ply”/);
    assert.doesNotMatch(missing.message, /secret/);
    const refused = await status(503);
    assert.equal(refused.code, 'network');
    assert.match(refused.message, /HTTP 503/);
    const cut: RequestListener = (_, response) => {
        response.setHeader('content-length', BODY.length);
        response.write(BODY.subarray(0, 1000), () => setTimeout(() => response.destroy(), 50));
    };
    const lost = await serving(cut, failure);
    assert.match(lost.message, /stopped after 1 kB/);
    assert.match((await failure('http://127.0.0.1:9/x')).message, /could not be reached/);
});

test('an abandoned download ends with the reason it was given', async () => {
    const control = new AbortController();
    const waiting = serving(
        () => control.abort(new Error('enough')),
        (url) => {
            return download(url, () => {}, control.signal);
        },
    );
    await assert.rejects(waiting, /enough/);
});

test('sizes read as people say them', () => {
    assert.deepEqual([0, 999, 1000, 326_333, 999_499, 999_600, 1_360_474].map(formatBytes), [
        '0 B',
        '999 B',
        '1 kB',
        '326 kB',
        '999 kB',
        '1.0 MB',
        '1.4 MB',
    ]);
});
