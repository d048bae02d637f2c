// Gradio shows a place in line as "queue: 2/3 | 4.0/21.5s" in a corner of the component that waits.
// This says it in words, below the card. Its time is an average of past runs; ours is asked for.
const place = /queue:\s*(\d+)\/(\d+)\s*\|/;
const ASK_MS = 2000;
const block = element.closest('.block') ?? element.parentElement;
const line = document.createElement('p');
line.className = 'queue-words';
line.setAttribute('role', 'status');
block.append(line);
let asked = 0;

function found() {
    return block.querySelector('.wrap:not(.hide) .progress-text')?.textContent.match(place);
}

function say() {
    const match = found();
    // Whoever computes is before the first in line.
    const ahead = match ? Number(match[1]) : 0;
    const time = match && props.wait ? `, about ${props.wait}` : '';
    const said = match ? `${ahead} before you${time}.` : '';
    if (line.textContent !== said) line.textContent = said;
    if (match && performance.now() - asked > ASK_MS) {
        asked = performance.now();
        trigger('tick', { ahead });
    }
}

new MutationObserver(say).observe(block, {
    childList: true,
    subtree: true,
    characterData: true,
    attributes: true,
});
watch('wait', say);
