// Gradio shows a place in line as "queue: 2/3 | 4.0/21.5s" in a corner of the component that waits.
// This says it in words, below the card.
const place = /queue:\s*(\d+)\/(\d+)\s*\|\s*([\d.]+)(?:\/([\d.]+))?s/;
const block = element.closest('.block') ?? element.parentElement;
const line = document.createElement('p');
line.className = 'queue-words';
line.setAttribute('role', 'status');
block.append(line);

function words() {
    const tracker = block.querySelector('.wrap:not(.hide) .progress-text');
    const found = tracker?.textContent.match(place);
    if (!found) return '';
    // Whoever computes is before the first in line.
    const [, ahead, , waited, expected] = found;
    const left = expected ? Math.ceil(Math.max(Number(expected) - Number(waited), 0)) : null;
    return `${ahead} before you${left === null ? '' : `, about ${left} s`}.`;
}

new MutationObserver(() => {
    const said = words();
    if (line.textContent !== said) line.textContent = said;
}).observe(block, { childList: true, subtree: true, characterData: true, attributes: true });
