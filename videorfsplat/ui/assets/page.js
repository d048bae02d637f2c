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

    // Gradio draws a plot anew each time and drops the old one, which would go on asking for pictures
    // and keep its share of the graphics. A frustum in the plot shows its camera in the viewer.
    const plots = new Set();
    const link = (plot) => {
        plot.on('plotly_click', ({ points: [point] }) => {
            const detail = { viewer: 'scene', camera: point.curveNumber };
            document.dispatchEvent(new CustomEvent('goto-camera', { detail }));
        });
    };
    new MutationObserver(() => {
        for (const plot of plots) {
            if (plot.isConnected) continue;
            window.Plotly.purge(plot);
            plots.delete(plot);
        }
        for (const plot of document.querySelectorAll('.js-plotly-plot')) {
            if (!plot.on || plots.has(plot)) continue;
            plots.add(plot);
            if (plot.closest('#frustums')) link(plot);
        }
    }).observe(document.body, { childList: true, subtree: true });
};
