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

    // A frustum in the plot shows its camera in the viewer. Gradio draws the plot anew each time.
    new MutationObserver(() => {
        const plot = document.querySelector('#frustums .js-plotly-plot');
        if (!plot?.on || plot.dataset.linked) return;
        plot.dataset.linked = 'true';
        plot.on('plotly_click', ({ points: [point] }) => {
            const detail = { viewer: 'scene', camera: point.curveNumber };
            document.dispatchEvent(new CustomEvent('goto-camera', { detail }));
        });
    }).observe(document.body, { childList: true, subtree: true });
};
