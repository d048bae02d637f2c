/** What the address of the page asks for, as messages. */

import { ViewerError } from './errors.ts';
import type { HostMessage } from './protocol.ts';
import { checkAgainstSchema } from './schema.ts';

/** Messages for `?content=…&cameras=…&camera=3&t=1.2&theme=dark&background=light`. */
export function requestsFromAddress(address: URL): {
    requests: HostMessage[];
    /** What does not fit, in words; the rest is done all the same. */
    problem: ViewerError | null;
} {
    const given = Object.fromEntries(address.searchParams);
    const number = (name: string) => (given[name] === undefined ? undefined : Number(given[name]));
    const requests: unknown[] = [];
    if (given.theme) requests.push({ v: 1, type: 'setTheme', theme: given.theme });
    if (given.background) {
        requests.push({ v: 1, type: 'setBackground', background: given.background });
    }
    const place = { camera: number('camera'), t: number('t') };
    if (given.content) {
        const { content, cameras } = given;
        requests.push(withoutGaps({ v: 1, type: 'load', content, cameras, ...place }));
    } else if (given.cameras) {
        requests.push({ v: 1, type: 'cameras', cameras: given.cameras, keepView: false });
    } else if (place.camera !== undefined || place.t !== undefined) {
        // Only of use to a scene that is in the page already.
        requests.push(withoutGaps({ v: 1, type: 'load', content: '-', ...place }));
    }
    const problems = requests.map((request) => checkAgainstSchema(request, 'HostMessage'));
    const first = problems.find((problem) => problem !== null);
    return {
        requests: requests.filter((_, index) => problems[index] === null) as HostMessage[],
        problem: first ? new ViewerError('bad-address', `This address is wrong: ${first}.`) : null,
    };
}

function withoutGaps(message: Record<string, unknown>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined));
}
