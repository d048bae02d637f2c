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

function showValue() {
    const messages = props.value ?? [];
    element.classList.toggle('has-scene', messages.some(({ type }) => type !== 'clear'));
    messages.forEach((message) => send(withFullAddresses(message)));
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
watch('value', showValue);
showValue();
frame.contentWindow.postMessage({ v: 1, type: 'hello' }, location.origin);
