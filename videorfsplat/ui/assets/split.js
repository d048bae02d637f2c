// The divider between two viewers that lie over each other.
const pair = element.closest('#pair');
const slider = element.querySelector('input');
const place = () => pair.style.setProperty('--split', `${slider.value}%`);
slider.addEventListener('input', place);
place();
