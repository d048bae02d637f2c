// Scenes of one sentence by several seeds: a click shows another of them.
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-scene]');
    if (button) trigger('pick', { scene: button.dataset.scene });
});
document.addEventListener('scene-shown', ({ detail }) => {
    for (const button of element.querySelectorAll('button[data-scene]')) {
        button.setAttribute('aria-pressed', String(button.dataset.scene === detail.scene));
    }
});
