// Two lists of this visit's scenes; both chosen, the server is asked for them.
const KEY = 'videorfsplat-visit';
const chosen = {}; // by hand; before that the newest two

function scenes() {
    try {
        return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    } catch {
        return [];
    }
}

function select(side, chosen) {
    const field = document.createElement('select');
    field.dataset.side = side;
    field.setAttribute('aria-label', `Scene ${side}`);
    for (const { scene, prompt, seed } of scenes()) {
        const option = new Option(`${prompt.slice(0, 60)} · seed ${seed}`, scene);
        option.selected = scene === chosen;
        field.append(option);
    }
    const label = document.createElement('label');
    label.append(side, field);
    return label;
}

function render() {
    const list = scenes();
    const button = Object.assign(document.createElement('button'), {
        type: 'button',
        textContent: 'Show both',
        disabled: list.length < 2,
    });
    element.replaceChildren(
        select('A', chosen.A ?? list[0]?.scene),
        select('B', chosen.B ?? list[1]?.scene),
        button,
    );
}

element.addEventListener('change', ({ target }) => {
    chosen[target.dataset.side] = target.value;
});
element.addEventListener('click', (event) => {
    if (!event.target.closest('button')) return;
    const [a, b] = ['A', 'B'].map((side) => element.querySelector(`[data-side=${side}]`).value);
    trigger('pick', { a, b });
});
for (const name of ['scene-shown', 'scene-made']) document.addEventListener(name, render);
render();
