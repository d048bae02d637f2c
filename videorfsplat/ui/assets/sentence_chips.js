// Chips write the sentence as long as it is theirs; to one that a person typed they add words.
const box = () => document.querySelector('#composer textarea');
let written = '';
let typed = '';

const selects = () => [...element.querySelectorAll('select')];
const chosen = () => Object.fromEntries(selects().map((s) => [s.dataset.attribute, s.value]));
const phraseOf = (attribute) => {
    const select = element.querySelector(`select[data-attribute="${attribute}"]`);
    return select.value ? select.selectedOptions[0].dataset.phrase : '';
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

function mark() {
    for (const select of selects()) {
        const chip = select.closest('.chip');
        chip.classList.toggle('chosen', select.value !== '');
    }
}

element.addEventListener('change', (event) => {
    const select = event.target.closest('select');
    if (!select) return;
    mark();
    const now = box().value;
    if (now.trim() === '' || now === written) {
        written = compose();
        write(written);
    } else if (select.value) {
        write(`${now.replace(/[\s.,]+$/, '')}, ${select.selectedOptions[0].dataset.phrase}`);
    }
});

element.addEventListener('click', (event) => {
    if (event.target.closest('[data-back]')) {
        write(typed);
        typed = '';
        event.target.closest('[data-back]').hidden = true;
    }
    if (!event.target.closest('[data-surprise]')) return;
    const now = box().value;
    if (now.trim() !== '' && now !== written) typed = now;
    element.querySelector('[data-back]').hidden = typed === '';
    for (const select of selects()) {
        const options = [...select.options].slice(1);
        select.value = options[Math.floor(Math.random() * options.length)].value;
    }
    mark();
    written = compose();
    write(written);
});
