// A click on a format that is not there yet asks for it; what was asked for is saved as it comes.
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-file]');
    if (button) trigger('ask', { file: button.dataset.file });
});
watch('value', () => element.querySelector('a[data-start]')?.click());
