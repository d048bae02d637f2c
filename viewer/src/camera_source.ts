import { parseCameras, type ViewCamera } from './cameras.ts';
import { download } from './download.ts';
import { ViewerError } from './errors.ts';
import type { CameraFile, HexColor } from './protocol.ts';

/**
 * Cameras from a file's contents, or from its address.
 *
 * @throws ViewerError in words
 */
export async function fetchCameras(
    source: string | CameraFile | null,
    colors: readonly HexColor[] | undefined,
): Promise<ViewCamera[]> {
    if (source === null) return [];
    if (typeof source !== 'string') return parseCameras(source, document.baseURI, colors);
    const url = new URL(source, document.baseURI).href;
    const bytes = await download(url, () => {}, new AbortController().signal);
    let file: unknown;
    try {
        file = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
        throw new ViewerError('bad-cameras', 'The camera file cannot be used: it is not JSON.');
    }
    return parseCameras(file, url, colors);
}
