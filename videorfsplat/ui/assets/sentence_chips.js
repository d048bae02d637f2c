// Chips show what was read from the sentence, what a seed filled in and what the visitor chose.
// They write an empty sentence, or one that they wrote; over a typed one they are choices, which
// the value of this component takes to the server.
const WRITTEN = ['kind', 'main_color', 'ground', 'time', 'motion'];
const SHOWN = new Set(WRITTEN);

const box = () => document.querySelector('#sentence textarea');
const sentence = () => box()?.value.trim() ?? '';
const selects = [...element.querySelectorAll('select')];
const keptSeed = element.querySelector('.kept-seed');

let written = '';
let typed = '';
let built = {}; // what chips wrote into the sentence
let choices = {};
let read = {};
let filled = {};
let scene = null; // the one that is shown: its sentence and seed
let seed = null; // kept, so that a choice changes nothing else
let isWhole = false; // whether all chips are shown

// Lists are options as JSON; a list of several gets an option of its own.
const asOption = (value) => (Array.isArray(value) ? JSON.stringify(value) : (value ?? ''));

function show(select, value) {
    const option = asOption(value);
    if (![...select.options].some((one) => one.value === option)) {
        select.add(new Option([value].flat().join(' + '), option));
    }
    select.value = option;
}

function render() {
    for (const select of selects) {
        const name = select.dataset.attribute;
        const sources = { chosen: choices, read: { ...read, ...built }, filled };
        const state = Object.keys(sources).find((one) => name in sources[one]) ?? '';
        show(select, state ? sources[state][name] : '');
        const chip = select.closest('.chip');
        chip.dataset.state = state;
        chip.hidden = !(isWhole || state || SHOWN.has(name));
    }
    keptSeed.hidden = seed === null;
    keptSeed.querySelector('span').textContent =
        `Keeps seed ${seed} of the scene shown, so the rest of it stays.`;
}

function send() {
    props.value = JSON.stringify({ choices, seed });
    render();
}

const phraseOf = (name) => {
    if (!built[name]) return '';
    const select = selects.find((one) => one.dataset.attribute === name);
    return [...select.options].find((one) => one.value === built[name]).dataset.phrase;
};

function compose() {
    const noun = [phraseOf('main_color'), phraseOf('kind') || 'toy'].filter(Boolean).join(' ');
    const article = /^[aeiou]/.test(noun) ? 'an' : 'a';
    const place = [`${article} ${noun}`, phraseOf('ground'), phraseOf('time')];
    return [place.filter(Boolean).join(' '), phraseOf('motion')].filter(Boolean).join(', ');
}

function write(text) {
    const field = box();
    // Gradio's field hears of what is set from outside by an event only.
    const { set } = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value');
    set.call(field, text);
    field.dispatchEvent(new Event('input', { bubbles: true }));
}

function writeChips() {
    written = compose();
    write(written);
}

element.addEventListener('change', (event) => {
    const select = event.target.closest('select');
    if (!select) return;
    const { attribute } = select.dataset;
    const now = sentence();
    if (WRITTEN.includes(attribute) && (now === '' || now === written)) {
        if (select.value) built[attribute] = select.value;
        else delete built[attribute];
        writeChips();
    } else {
        const value = select.value.startsWith('[') ? JSON.parse(select.value) : select.value || null;
        // What the sentence does not state is open without being told so.
        if (value === null && !(attribute in read)) delete choices[attribute];
        else choices[attribute] = value;
        if (scene && scene.prompt === now) ({ seed } = scene);
    }
    send();
});

element.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    if ('more' in button.dataset) {
        isWhole = !isWhole;
        button.setAttribute('aria-expanded', String(isWhole));
        button.textContent = isWhole ? 'Fewer' : 'More…';
        render();
    }
    if ('newSeed' in button.dataset) {
        seed = null;
        send();
    }
    if ('back' in button.dataset) {
        write(typed);
        typed = '';
        button.hidden = true;
    }
    if ('surprise' in button.dataset) {
        const now = sentence();
        if (now !== '' && now !== written) typed = now;
        element.querySelector('[data-back]').hidden = typed === '';
        for (const select of selects.filter((one) => WRITTEN.includes(one.dataset.attribute))) {
            const options = [...select.options].filter((one) => one.dataset.phrase);
            built[select.dataset.attribute] =
                options[Math.floor(Math.random() * options.length)].value;
        }
        choices = {};
        writeChips();
        send();
    }
});

document.addEventListener('input', (event) => {
    if (!event.target.closest('#sentence')) return;
    if (sentence() !== written) built = {};
    filled = {};
    seed = null;
    if (sentence() === '') {
        choices = {};
        read = {};
    }
    send();
});

// The server's reading comes with the note on the words.
function takeReading() {
    const data = document.querySelector('#words [data-reading]')?.dataset.reading;
    const reading = data ? JSON.parse(data) : { prompt: '', stated: {} };
    if (data && reading.prompt.trim() !== sentence()) return;
    // What is written later than it was chosen is what is meant.
    for (const name of Object.keys(choices)) {
        const isNew = JSON.stringify(reading.stated[name]) !== JSON.stringify(read[name]);
        if (name in reading.stated && name in read && isNew) delete choices[name];
    }
    read = reading.stated;
    send();
}

const words = document.getElementById('words');
if (words) {
    const options = { childList: true, subtree: true, attributes: true };
    new MutationObserver(takeReading).observe(words, options);
}

document.addEventListener('scene-shown', ({ detail }) => {
    scene = detail;
    if (scene.prompt !== sentence()) return;
    filled = scene.filled ?? {};
    if (seed !== null) ({ seed } = scene);
    send();
});

// A link brings its choices.
watch('value', () => {
    const given = JSON.parse(props.value || '{}');
    choices = given.choices ?? {};
    seed = given.seed ?? null;
    render();
});
render();
