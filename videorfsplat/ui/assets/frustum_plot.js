// Draws the cameras of `frustum_plot` (plots.py) on a canvas: drag turns it, a click on a frustum's
// face asks the viewer for its camera. The wheel is the page's.
const LINKED = element.closest('#frustums') !== null;
let plot = null;
let [yaw, pitch] = [Math.PI + 0.6, 0.4];
let faces = [];
let hovered = null;

const canvasOf = () => element.querySelector('canvas');

function read() {
    const source = element.querySelector('.frustum-plot');
    plot = source ? prepared(JSON.parse(source.dataset.plot)) : null;
    draw();
}

// World points with +y up: the files have +y down and cameras that look along their −z.
function prepared({ frustums, points }) {
    const upright = ([x, y, z]) => [x, -y, -z];
    const centers = frustums.map(({ pose }) => pose.map((row) => row[3]));
    const near = (values, share) => [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))];
    const spread = Math.max(...[0, 1, 2].map((axis) => {
        const values = centers.map((center) => center[axis]);
        return Math.max(...values) - Math.min(...values);
    }), 0.5);
    const depth = 0.22 * spread;
    const cameras = frustums.map(({ pose, half: [w, h], color }) => {
        const at = (x, y, z) => upright(pose.map(([a, b, c, d]) => a * x + b * y + c * z + d));
        const corners = [[-w, h], [w, h], [w, -h], [-w, -h]];
        return {
            color,
            apex: at(0, 0, 0),
            corners: corners.map(([x, y]) => at(x * depth, y * depth, -depth)),
        };
    });
    const middleOf = (axis) => centers.reduce((sum, center) => sum + center[axis], 0) / centers.length;
    const eye = upright([0, 1, 2].map(middleOf));
    const distance = ({ at }) => Math.hypot(...at.map((value, axis) => value - eye[axis]));
    const scene = points.map(([x, y, z, r, g, b]) => ({ at: upright([x, y, z]), color: `rgb(${r} ${g} ${b})` }));
    // What the cameras look at lies among the nearest quarter; the sky would make the rest tiny.
    const reach = scene.length ? 3 * near(scene.map(distance), 0.25) : 0;
    const cloud = scene.filter((point) => distance(point) <= reach);
    const all = [...cameras.flatMap(({ apex, corners }) => [apex, ...corners]), ...cloud.map(({ at }) => at)];
    const box = [0, 1, 2].map((axis) => {
        const values = all.map((point) => point[axis]);
        return [near(values, 0.02), near(values, 0.98)];
    });
    const middle = box.map(([low, high]) => (low + high) / 2);
    const radius = Math.max(spread, Math.hypot(...box.map(([low, high]) => high - low)) / 2);
    return { cameras, cloud, middle, radius };
}

function projector(width, height) {
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const scale = (0.5 * Math.min(width, height * 1.3)) / plot.radius;
    return ([x, y, z]) => {
        const [a, b, c] = [x - plot.middle[0], y - plot.middle[1], z - plot.middle[2]];
        const [right, away] = [cy * a + sy * c, -sy * a + cy * c];
        const [up, depth] = [cp * b + sp * away, -sp * b + cp * away];
        const near = 3 / (3 + depth / plot.radius);
        return { x: width / 2 + right * scale * near, y: height / 2 - up * scale * near, depth };
    };
}

function draw() {
    const canvas = canvasOf();
    if (!plot || !canvas || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const project = projector(width, height);
    const dots = plot.cloud.map(({ at, color }) => ({ ...project(at), color }));
    dots.sort((a, b) => b.depth - a.depth);
    context.globalAlpha = 0.75;
    for (const { x, y, color } of dots) {
        context.fillStyle = color;
        context.fillRect(x - 1.2, y - 1.2, 2.4, 2.4);
    }
    faces = plot.cameras
        .map(({ apex, corners, color }, index) => {
            const [tip, ...frame] = [apex, ...corners].map(project);
            return { index, color, tip, frame, depth: tip.depth };
        })
        .sort((a, b) => b.depth - a.depth);
    for (const { index, color, tip, frame } of faces) {
        const sides = frame.map((corner, i) => [tip, corner, frame[(i + 1) % 4]]);
        context.fillStyle = context.strokeStyle = color;
        context.lineWidth = index === hovered ? 2.5 : 1.4;
        for (const polygon of [...sides, frame]) {
            context.beginPath();
            polygon.forEach(({ x, y }, i) => context[i ? 'lineTo' : 'moveTo'](x, y));
            context.closePath();
            context.globalAlpha = index === hovered ? 0.45 : 0.18;
            context.fill();
            context.globalAlpha = 0.9;
            context.stroke();
        }
    }
}

// Near ones lie over far ones.
function cameraAt(event) {
    const { left, top } = canvasOf().getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const isInside = (polygon) => {
        const turns = polygon.map((a, i) => {
            const b = polygon[(i + 1) % polygon.length];
            return Math.sign((b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x));
        });
        return turns.every((turn) => turn >= 0) || turns.every((turn) => turn <= 0);
    };
    const hit = [...faces].reverse().find(({ tip, frame }) => {
        return [frame, ...frame.map((corner, i) => [tip, corner, frame[(i + 1) % 4]])].some(isInside);
    });
    return hit ? hit.index : null;
}

let held = null;
element.addEventListener('pointerdown', (event) => {
    if (event.target !== canvasOf()) return;
    held = { x: event.clientX, y: event.clientY, moved: 0 };
    event.target.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
    if (event.target !== canvasOf()) return;
    if (held) {
        const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
        held = { x: event.clientX, y: event.clientY, moved: held.moved + Math.hypot(dx, dy) };
        yaw += dx * 0.01;
        pitch = Math.max(-1.5, Math.min(1.5, pitch - dy * 0.01));
    } else {
        hovered = cameraAt(event);
        event.target.title = hovered === null ? '' : `Camera ${hovered + 1}`;
        event.target.style.cursor = hovered !== null && LINKED ? 'pointer' : 'grab';
    }
    requestAnimationFrame(draw);
});
element.addEventListener('pointerup', (event) => {
    const isClick = held && held.moved < 5;
    held = null;
    const camera = isClick && LINKED ? cameraAt(event) : null;
    if (camera === null) return;
    document.dispatchEvent(new CustomEvent('goto-camera', { detail: { viewer: 'scene', camera } }));
});
new ResizeObserver(() => requestAnimationFrame(draw)).observe(element);
watch('value', read);
read();
