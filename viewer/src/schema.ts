/**
 * Checks values against `protocol.schema.json`, which the build derives from `protocol.ts`.
 *
 * Only the keywords which that file uses are understood; `build.mjs` refuses any other.
 */

import document from '../generated/protocol.schema.json' with { type: 'json' };

/** The keywords of JSON Schema that the protocol's types come out as. */
export interface Schema {
    $ref?: string;
    type?: string | string[];
    const?: unknown;
    enum?: unknown[];
    anyOf?: Schema[];
    properties?: Record<string, Schema>;
    required?: string[];
    additionalProperties?: boolean | Schema;
    items?: Schema | Schema[];
    minItems?: number;
    maxItems?: number;
    minLength?: number;
    minimum?: number;
    maximum?: number;
    pattern?: string;
    description?: string;
}

const definitions = document.definitions as unknown as Record<string, Schema>;

/** What is wrong with `value` as one of the protocol's types, in words; null if nothing is. */
export function checkAgainstSchema(value: unknown, type: string): string | null {
    const schema = definitions[type];
    if (!schema) throw new Error(`the protocol has no type ${type}`);
    return problemOf(value, schema, 'it');
}

function problemOf(value: unknown, schema: Schema, path: string): string | null {
    if (schema.$ref) {
        const name = schema.$ref.replace('#/definitions/', '');
        return problemOf(value, definitions[name] as Schema, path);
    }
    if (schema.anyOf) return problemOfUnion(value, schema.anyOf, path);
    if (schema.const !== undefined && value !== schema.const) {
        return `${path} must be ${JSON.stringify(schema.const)}, not ${show(value)}`;
    }
    if (schema.enum && !schema.enum.includes(value)) {
        return `${path} must be one of ${schema.enum.join(', ')}, not ${show(value)}`;
    }
    const types = schema.type === undefined ? [] : [schema.type].flat();
    if (types.length > 0 && !types.some((type) => isOfType(value, type))) {
        return `${path} must be ${types.join(' or ')}, not ${show(value)}`;
    }
    if (typeof value === 'number') return problemOfNumber(value, schema, path);
    if (typeof value === 'string') return problemOfString(value, schema, path);
    if (Array.isArray(value)) return problemOfArray(value, schema, path);
    if (isOfType(value, 'object')) {
        return problemOfObject(value as Record<string, unknown>, schema, path);
    }
    return null;
}

/** Of a union of messages, the one of the value's type tells the most. */
function problemOfUnion(value: unknown, options: Schema[], path: string): string | null {
    const problems = options.map((option) => problemOf(value, option, path));
    if (problems.includes(null)) return null;
    const type = (value as { type?: unknown } | null)?.type;
    const match = options.findIndex((option) => {
        const name = option.$ref?.replace('#/definitions/', '') ?? '';
        const constant = definitions[name]?.properties?.type?.const;
        return constant !== undefined && constant === type;
    });
    return match < 0
        ? `${path} fits none of the accepted forms: ${show(value)}`
        : (problems[match] ?? null);
}

function problemOfNumber(value: number, schema: Schema, path: string): string | null {
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
    if (value < minimum) return `${path} must be at least ${minimum}, not ${value}`;
    if (value > maximum) return `${path} must be at most ${maximum}, not ${value}`;
    return null;
}

function problemOfString(value: string, schema: Schema, path: string): string | null {
    if (value.length < (schema.minLength ?? 0)) return `${path} must not be empty`;
    if (schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) {
        return `${path} must look like ${schema.pattern}, not ${show(value)}`;
    }
    return null;
}

function problemOfArray(value: unknown[], schema: Schema, path: string): string | null {
    if (value.length < (schema.minItems ?? 0)) {
        return `${path} must have at least ${schema.minItems} entries, not ${value.length}`;
    }
    if (value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY)) {
        return `${path} must have at most ${schema.maxItems} entries, not ${value.length}`;
    }
    return firstProblem(value.entries(), ([index, entry]) => {
        const item = Array.isArray(schema.items) ? schema.items[index] : schema.items;
        return item ? problemOf(entry, item, `${path}[${index}]`) : null;
    });
}

function problemOfObject(
    value: Record<string, unknown>,
    schema: Schema,
    path: string,
): string | null {
    const missing = (schema.required ?? []).find((name) => value[name] === undefined);
    if (missing) return `${path} lacks ${missing}`;
    const properties = new Map(Object.entries(schema.properties ?? {}));
    return firstProblem(Object.entries(value), ([name, entry]) => {
        const property = properties.get(name);
        if (property) return entry === undefined ? null : problemOf(entry, property, name);
        return schema.additionalProperties === false
            ? `${path} has an unknown entry ${name}`
            : null;
    });
}

function firstProblem<T>(entries: Iterable<T>, check: (entry: T) => string | null): string | null {
    for (const entry of entries) {
        const problem = check(entry);
        if (problem) return problem;
    }
    return null;
}

function isOfType(value: unknown, type: string): boolean {
    switch (type) {
        case 'null':
            return value === null;
        case 'array':
            return Array.isArray(value);
        case 'object':
            return typeof value === 'object' && value !== null && !Array.isArray(value);
        case 'integer':
            return Number.isInteger(value);
        case 'number':
            return Number.isFinite(value);
        default:
            return typeof value === type;
    }
}

function show(value: unknown): string {
    const text = JSON.stringify(value) ?? String(value);
    return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
