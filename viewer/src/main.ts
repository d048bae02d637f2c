/** Starts the viewer and does what the address, or the page itself, asks for. */

import './style.css';
import { requestsFromAddress } from './address.ts';
import { type EmbeddedScene, ViewerApp } from './app.ts';
import type { CameraFile, LoadMessage } from './protocol.ts';

declare global {
    interface Window {
        /** For pages that build on the viewer without a frame, and for tests. */
        splatViewer?: ViewerApp;
    }
}

function start(): void {
    const root = document.getElementById('viewer');
    if (!root) throw new Error('the page has no element #viewer');
    const app = new ViewerApp(root);
    window.splatViewer = app;
    const { requests, problem } = requestsFromAddress(new URL(window.location.href));
    const embedded = embeddedScene();
    if (embedded) {
        const load = requests.find((request): request is LoadMessage => request.type === 'load');
        void app.load({ v: 1, type: 'load', ...load, content: document.title }, embedded);
    }
    for (const request of requests) {
        if (!(embedded && request.type === 'load')) app.receive(request);
    }
    if (problem) app.fail(problem);
}

/** The scene of a one-file export: base64 and JSON in inert script elements. */
function embeddedScene(): EmbeddedScene | null {
    const scene = document.getElementById('embedded-scene')?.textContent?.trim();
    if (!scene) return null;
    const cameras = document.getElementById('embedded-cameras')?.textContent?.trim();
    return {
        bytes: Uint8Array.from(atob(scene), (character) => character.charCodeAt(0)),
        cameras: cameras ? (JSON.parse(cameras) as CameraFile) : null,
    };
}

start();
