() => {
    // Light and dark, kept for the next visit.
    const root = document.body;
    const key = 'videorfsplat-theme';
    const asked = new URLSearchParams(location.search).get('__theme');
    // Browsers can be told to keep nothing; then asking is an error.
    const storage = (() => {
        try {
            return localStorage;
        } catch {
            return null;
        }
    })();
    const kept = storage?.getItem(key);
    if (!asked && kept) root.classList.toggle('dark', kept === 'dark');
    document.addEventListener('click', (event) => {
        if (!event.target.closest('#theme-switch')) return;
        const isDark = root.classList.toggle('dark');
        storage?.setItem(key, isDark ? 'dark' : 'light');
    });

    const sentence = () => document.querySelector('#sentence textarea');

    // The click is answered before the server is.
    const answer = () => {
        const card = document.querySelector('#status .status-card');
        if (!card || !sentence()?.value.trim() || card.dataset.state === 'busy') return;
        card.dataset.state = 'busy';
        card.querySelector('strong').textContent = 'Starting…';
        const detail = card.querySelector('.detail');
        if (detail) detail.textContent = '';
    };
    document.addEventListener('click', (event) => {
        if (event.target.closest('#generate, #compare')) answer();
    });

    // Enter generates; Gradio's field would break the line.
    document.addEventListener(
        'keydown',
        (event) => {
            const isPlain = event.key === 'Enter' && !event.shiftKey && !event.isComposing;
            if (!isPlain || !event.target.closest('#sentence')) return;
            event.preventDefault();
            event.stopPropagation();
            if (!document.querySelector('#status [data-state=busy]')) {
                document.getElementById('generate').click();
            }
        },
        true,
    );

    // Another sentence comes only by this button, and what was typed can be had back by Ctrl+Z.
    document.addEventListener('click', (event) => {
        const about = event.target.closest('[data-about]');
        if (about && event.target.closest('[data-use]')) {
            const field = sentence();
            field.focus();
            field.select();
            document.execCommand('insertText', false, JSON.parse(about.dataset.about).prompt);
        }
        const depth = event.target.closest('[data-depth]');
        if (depth) {
            const isShown = root.classList.toggle('with-depth');
            depth.setAttribute('aria-pressed', String(isShown));
        }
    });

    // A scene of a comparison becomes the scene that is shown.
    document.addEventListener('click', (event) => {
        const scene = event.target.closest('[data-keep]')?.dataset.keep;
        if (scene) document.dispatchEvent(new CustomEvent('open-scene', { detail: { scene } }));
    });

    // Which scene is shown, for the strips and the address bar.
    let shown = '';
    const look = () => {
        const data = document.querySelector('#frames [data-about]')?.dataset.about;
        if (data && data !== shown) {
            shown = data;
            const detail = JSON.parse(data);
            document.dispatchEvent(new CustomEvent('scene-shown', { detail }));
        }
        for (const made of document.querySelectorAll('#picks [data-about]:not([data-noted])')) {
            made.dataset.noted = '';
            const detail = JSON.parse(made.dataset.about);
            document.dispatchEvent(new CustomEvent('scene-made', { detail }));
        }
        // Gradio leaves a word of its own translation table for screen readers after each run.
        for (const stray of document.querySelectorAll('.sr-only')) {
            if (/^common\.\w+$/.test(stray.textContent.trim())) stray.textContent = '';
        }
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });

    // Fast has its own steps, δ and guidance: whoever moves one wants to see what it does. Here and
    // not as an event of Gradio's, which would draw the field anew while a number is being typed.
    // A number that a script puts in its place keeps the browser from telling of a change.
    const chooseFull = (event) => {
        if (!event.target.closest('#settings .sampling')) return;
        document.querySelector('#quality input[value=full]:not(:checked):enabled')?.click();
    };
    for (const name of ['input', 'change']) document.addEventListener(name, chooseFull);

    // How much room is left in the sentence.
    document.addEventListener('input', (event) => {
        if (!event.target.closest('#sentence')) return;
        const { value, maxLength } = event.target;
        const block = event.target.closest('#sentence');
        block.dataset.count = value.length ? `${value.length} / ${maxLength}` : '';
    });
};
