/**
 * The failures that the command line itself finds, in one table, and what becomes of any failure: an exit code and
 * words, or one JSON document on standard error with --json.
 */
import { inSentences, LmasApiError, LmasConnectionError } from '@lmas/client';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { printable } from './output/text.ts';

export const CLI_ERRORS = {
  INVALID_VALUE: { exitCode: EXIT.usage, meaning: 'A flag or argument has a value that cannot be.' },
  INPUT_UNREADABLE: {
    exitCode: EXIT.usage,
    meaning: 'A file that was named cannot be read, or not as what it should be.',
  },
  OUTPUT_EXISTS: { exitCode: EXIT.usage, meaning: 'The file that was to be written is there already.' },
  OUTPUT_NOT_WRITTEN: { exitCode: EXIT.usage, meaning: 'A file could not be written.' },
  SECRET_PRINTED: {
    exitCode: EXIT.failed,
    meaning: 'A secret was made, and its file could not be written: it is on standard output instead.',
  },
  OUTPUT_LOST: { exitCode: EXIT.failed, meaning: 'What was to be printed could not be written to standard output.' },
  NO_API_KEY: { exitCode: EXIT.usage, meaning: 'No API key was found.' },
  CONTEXT_UNKNOWN: { exitCode: EXIT.usage, meaning: 'There is no context of that name.' },
  CONTEXT_INVALID: { exitCode: EXIT.usage, meaning: 'The file of contexts cannot be used.' },
  NO_TERMINAL: { exitCode: EXIT.usage, meaning: 'A secret has to be asked for, and there is no terminal to ask at.' },
  NOT_READY: { exitCode: EXIT.unreachable, meaning: 'The orchestrator answers, but cannot work yet.' },
  INTERRUPTED: { exitCode: EXIT.interrupted, meaning: 'Ctrl-C.' },
} as const satisfies Record<string, { exitCode: ExitCode; meaning: string }>;

export type CliErrorCode = keyof typeof CLI_ERRORS;

export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  /** One sentence: what to do. */
  readonly remedy: string | undefined;

  constructor(code: CliErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
  }
}

export interface Failure {
  readonly exitCode: ExitCode;
  readonly code: string;
  readonly message: string;
  readonly remedy: string | undefined;
  readonly status?: number;
  readonly errors: readonly { path: string; message: string }[];
}

/** Everything there is to say about what was thrown. A defect of our own keeps its stack for the report. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CliError) {
    const { code, message, remedy } = error;
    return { exitCode: CLI_ERRORS[code].exitCode, code, message, remedy, errors: [] };
  }
  if (error instanceof LmasConnectionError) {
    const exitCode = error.code === 'INVALID_URL' ? EXIT.usage : EXIT.unreachable;
    return { exitCode, code: error.code, message: error.message, remedy: connectionRemedy(error), errors: [] };
  }
  if (error instanceof LmasApiError) {
    const { code, status, errors } = error;
    const { what, more } = inSentences(error);
    return { exitCode: apiExitCode(error), code, message: what, status, remedy: apiRemedy(error, more), errors };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    exitCode: EXIT.failed,
    code: 'DEFECT',
    message,
    remedy: 'This is a defect of lmas: please report it.',
    errors: [],
  };
}

export function formatFailure({ code, message, remedy, errors }: Failure): string {
  const lines = [`lmas: ${printable(message, { keepNewlines: true })} (${printable(code)})`];
  for (const { path, message } of errors) lines.push(`  ${printable(path) || 'request'}: ${printable(message)}`);
  if (remedy !== undefined) lines.push(`  ${printable(remedy)}`);
  return `${lines.join('\n')}\n`;
}

/** With a code of ours a 5xx is the outcome of an operation; without one it is a proxy whose orchestrator is away. */
function apiExitCode({ code, status }: LmasApiError): ExitCode {
  if (status === 503 || (status >= 500 && code.startsWith('HTTP_'))) return EXIT.unreachable;
  return status >= 500 ? EXIT.failed : EXIT.refused;
}

function apiRemedy({ code, status, retryAfterMs }: LmasApiError, detail: string | undefined): string | undefined {
  if (status === 401) {
    const fix =
      'Name the right key with --api-key-file FILE, LMAS_API_KEY_FILE or LMAS_API_KEY; the orchestrator keeps its first one in api-key in its data directory, and where no admin can get in any more (keys revoked or expired, no identity provider) its next start makes a new one there.';
    return detail === undefined ? fix : `${detail} ${fix}`;
  }
  if (detail === undefined && (status === 429 || status === 503)) {
    return retryAfterMs === undefined ? 'Try again in a moment.' : `Try again in ${Math.ceil(retryAfterMs / 1_000)} s.`;
  }
  // What the API calls by the name of its field is a flag here.
  if (code === 'NO_GATEWAY') return detail?.replace('ask for transport `direct`', 'go without a tunnel: --direct');
  return detail;
}

function connectionRemedy({ code }: LmasConnectionError): string | undefined {
  if (code === 'UNREACHABLE') return 'Is the orchestrator running? Say where with --url or LMAS_URL.';
  if (code === 'NOT_LMAS') return 'Say where the orchestrator is with --url or LMAS_URL.';
  return undefined;
}
