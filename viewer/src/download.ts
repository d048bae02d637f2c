/** Downloads with progress in bytes and errors in words. */

import { ViewerError } from './errors.ts';

export type OnProgress = (received: number, total: number | null) => void;

/**
 * Fetch a file.
 *
 * @throws ViewerError in words; the signal's reason, if aborted
 */
export async function download(
    url: string,
    onProgress: OnProgress,
    signal: AbortSignal,
): Promise<Uint8Array> {
    const response = await open(url, signal);
    const total = totalOf(response);
    onProgress(0, total);
    const chunks: Uint8Array[] = [];
    let received = 0;
    try {
        for await (const chunk of chunksOf(response)) {
            chunks.push(chunk);
            received += chunk.length;
            onProgress(received, total);
        }
    } catch (cause) {
        if (signal.aborted) throw signal.reason;
        throw interrupted(received, cause);
    }
    return joined(chunks, received);
}

/** `1.2 MB`, as people say it. */
export function formatBytes(bytes: number): string {
    if (bytes < 1000) return `${bytes} B`;
    if (bytes < 999_500) return `${Math.round(bytes / 1000)} kB`;
    return `${(bytes / 1e6).toFixed(1)} MB`;
}

async function open(url: string, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
        response = await fetch(url, { signal });
    } catch {
        if (signal.aborted) throw signal.reason;
        throw new ViewerError(
            'network',
            `The file at ${shortened(url)} could not be reached. Check the connection.`,
            true,
        );
    }
    if (response.ok) return response;
    const gone = response.status === 404 || response.status === 410;
    throw new ViewerError(
        gone ? 'not-found' : 'network',
        gone
            ? `There is no file at ${shortened(url)}. It may have been cleaned up; make it again.`
            : `The server refused the file at ${shortened(url)} (HTTP ${response.status}).`,
        true,
    );
}

/** The size of what will arrive, where the server says it: not of a body it compresses on the way. */
function totalOf(response: Response): number | null {
    const length = response.headers.get('content-length');
    return length === null || response.headers.has('content-encoding') ? null : Number(length);
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    while (reader) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
    }
}

function joined(chunks: Uint8Array[], length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
        bytes.set(chunk, offset);
        offset += chunk.length;
    }
    return bytes;
}

function interrupted(received: number, cause: unknown): ViewerError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new ViewerError(
        'network',
        `The download stopped after ${formatBytes(received)} (${reason}).`,
        true,
    );
}

/** Addresses can be long and signed: their last part is enough to recognise the file. */
function shortened(url: string): string {
    const path = url.split(/[?#]/)[0] ?? url;
    return `“${path.split('/').at(-1) || path}”`;
}
