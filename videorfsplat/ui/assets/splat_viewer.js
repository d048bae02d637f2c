// Runs once for each SplatViewer, with `element`, `props` and `watch` from Gradio.
// The value is a list of messages to the viewer (viewer/src/protocol.ts); what the viewer says goes
// out as `viewer-message` on the document. Viewers with the same `group` share one view.
const frame = element.querySelector('iframe');
const waiting = [];
let isReady = false;

function send(message) {
    if (!isReady) return void waiting.push(message);
    frame.contentWindow.postMessage(message, location.origin);
}

// Addresses are relative to this page, which the frame is not.
function withFullAddresses(message) {
    const full = { ...message };
    for (const key of ['content', 'cameras']) {
        if (typeof full[key] === 'string') full[key] = new URL(full[key], document.baseURI).href;
    }
    return full;
}

// The scene that every page starts with is not for one whose address asks for something else.
const asksForMore = /[?&](scene|prompt)=/.test(location.search);
let isFirst = true;

// While a run goes on its predicted views are the stage, each in the colour of its camera.
function showPrediction({ cameras }) {
    const frames = (cameras?.frames ?? []).filter(({ file_path: path }) => path?.startsWith('data:'));
    if (frames.length === 0) return;
    const mosaic = element.querySelector('.splat-prediction');
    if (mosaic.children.length !== frames.length) {
        mosaic.replaceChildren(...frames.map((_, index) => {
            const image = Object.assign(document.createElement('img'), { alt: '' });
            image.style.setProperty('--view', `var(--view-${(index % 8) + 1})`);
            return image;
        }));
    }
    frames.forEach(({ file_path: path }, index) => {
        mosaic.children[index].src = path;
    });
    element.classList.add('predicting');
}

function showValue() {
    const messages = props.value ?? [];
    if (isFirst && asksForMore && props.poster) {
        isFirst = false;
        element.classList.remove('has-poster');
        return;
    }
    element.classList.toggle('has-scene', messages.some(({ type }) => type !== 'clear'));
    messages.forEach((message) => {
        if (message.type === 'cameras') showPrediction(message);
        send(withFullAddresses(isFirst && message.type === 'load' ? { ...message, flight: true } : message));
    });
    isFirst = false;
}

function sendTheme() {
    const style = getComputedStyle(document.querySelector('.gradio-container'));
    const read = (name) => style.getPropertyValue(name).trim();
    send({
        v: 1,
        type: 'setTheme',
        theme: document.body.classList.contains('dark') ? 'dark' : 'light',
        variables: {
            accent: read('--page-accent'),
            onAccent: read('--page-on-accent'),
            background: read('--page-stage'),
            surface: read('--page-surface'),
            border: read('--page-border'),
            text: read('--page-text'),
            mutedText: read('--page-muted'),
            radius: '10px',
            font: read('--page-font'),
        },
    });
}

function hear(message) {
    if (message.type === 'ready' && !isReady) {
        isReady = true;
        sendTheme();
        waiting.splice(0).forEach(send);
    }
    if (message.type === 'loaded' || message.type === 'error') {
        element.classList.remove('has-poster', 'predicting');
    }
    if (message.type === 'recorded') trigger('record', message.cameras);
    const detail = { viewer: props.name, group: props.group, message };
    document.dispatchEvent(new CustomEvent('viewer-message', { detail }));
}

window.addEventListener('message', ({ data, origin, source }) => {
    if (source === frame.contentWindow && origin === location.origin) hear(data);
});
document.addEventListener('goto-camera', ({ detail }) => {
    if (detail.viewer !== props.name) return;
    send({ v: 1, type: 'gotoCamera', camera: detail.camera });
    frame.scrollIntoView({ block: 'nearest' });
});
document.addEventListener('viewer-message', ({ detail: { viewer, group, message } }) => {
    if (!props.group || group !== props.group || viewer === props.name) return;
    if (message.type !== 'pose') return;
    send({ v: 1, type: 'setPose', transform: message.transform, fov: message.fov });
});
new MutationObserver(sendTheme).observe(document.body, { attributeFilter: ['class'] });
element.classList.toggle('has-poster', Boolean(props.poster));
watch('value', showValue);
showValue();
frame.contentWindow.postMessage({ v: 1, type: 'hello' }, location.origin);
