/** Elements written as expressions. */

import { createElement, type IconNode } from 'lucide';

type Attributes = Record<string, string | number | boolean | null>;
type Child = Node | string | null;

/** An HTML element; `true` sets an empty attribute, `false` and `null` none. */
export function html<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Attributes = {},
    ...children: Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    setAttributes(element, attributes);
    element.append(...children.filter((child) => child !== null));
    return element;
}

export function svg<K extends keyof SVGElementTagNameMap>(
    tag: K,
    attributes: Attributes = {},
    ...children: Child[]
): SVGElementTagNameMap[K] {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    setAttributes(element, attributes);
    element.append(...children.filter((child) => child !== null));
    return element;
}

export function icon(node: IconNode): SVGElement {
    const element = createElement(node, { 'stroke-width': 1.75, 'aria-hidden': 'true' });
    element.classList.add('icon');
    return element;
}

export function setAttributes(element: Element, attributes: Attributes): void {
    for (const [name, value] of Object.entries(attributes)) {
        if (value === false || value === null) element.removeAttribute(name);
        else element.setAttribute(name, value === true ? '' : String(value));
    }
}
