// The scenes of this visit, and the address bar, which follows the scene that is shown.
const KEY = 'videorfsplat-visit';
const MOST = 24;

function read() {
    try {
        return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    } catch {
        return [];
    }
}

function keep(list) {
    try {
        sessionStorage.setItem(KEY, JSON.stringify(list));
    } catch {
        // A browser that keeps nothing shows the strip until the page is left.
    }
}

let list = read();

function render(shown) {
    element.textContent = '';
    if (list.length < 2) return;
    const title = Object.assign(document.createElement('h2'), { textContent: 'This visit' });
    const items = list.map(({ scene, prompt, seed, picture }) => {
        const button = Object.assign(document.createElement('button'), { type: 'button' });
        button.dataset.scene = scene;
        button.setAttribute('aria-pressed', String(scene === shown));
        const image = Object.assign(document.createElement('img'), { src: picture, alt: '' });
        const words = Object.assign(document.createElement('span'), {
            textContent: `${prompt} · seed ${seed}`,
        });
        button.append(image, words);
        const item = document.createElement('li');
        item.append(button);
        return item;
    });
    const strip = Object.assign(document.createElement('ul'), { className: 'scene-cards' });
    strip.append(...items);
    element.append(title, strip);
}

function note(about) {
    list = [about, ...list.filter(({ scene }) => scene !== about.scene)].slice(0, MOST);
    keep(list);
}

document.addEventListener('scene-made', ({ detail }) => {
    note(detail);
    render(detail.scene);
});

document.addEventListener('scene-shown', ({ detail }) => {
    if (!list.some(({ scene }) => scene === detail.scene)) list = [detail, ...list].slice(0, MOST);
    keep(list);
    render(detail.scene);
    const address = new URL(location.href);
    if (address.searchParams.get('scene') === detail.scene) return;
    const theme = address.searchParams.get('__theme');
    address.search = '';
    if (theme) address.searchParams.set('__theme', theme);
    address.searchParams.set('scene', detail.scene);
    // The scene that the page opened with is no step to go back to.
    const method = document.body.dataset.opened ? 'pushState' : 'replaceState';
    document.body.dataset.opened = 'yes';
    history[method](null, '', address);
});

document.addEventListener('open-scene', ({ detail }) => trigger('pick', detail));

window.addEventListener('popstate', () => {
    const scene = new URLSearchParams(location.search).get('scene');
    if (scene) trigger('pick', { scene });
});

element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-scene]');
    const isBusy = document.querySelector('#status [data-state=busy]');
    if (button && !isBusy) trigger('pick', { scene: button.dataset.scene });
});
