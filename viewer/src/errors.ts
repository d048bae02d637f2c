import type { ErrorCode } from './protocol.ts';

/** A failure that the person should read about. */
export class ViewerError extends Error {
    readonly code: ErrorCode;
    /** Whether trying the same again can help. */
    readonly retry: boolean;

    constructor(code: ErrorCode, message: string, retry = false) {
        super(message);
        this.code = code;
        this.retry = retry;
    }
}

/** Any failure, in words. */
export function asViewerError(error: unknown): ViewerError {
    if (error instanceof ViewerError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new ViewerError('damaged', `Something unexpected happened: ${reason}.`, true);
}
