/**
 * Calls and answers as JSON-RPC, in either version; and what the published documents leave open, which is therefore tried both ways.
 */
import { Fault } from './fault.ts';

export interface Dialect {
  /** Answers have the form of JSON-RPC 1.0, whatever was asked. */
  readonly answersAs1?: boolean;
  /** Whole numbers are decimal strings, as in XML-RPC. */
  readonly numbersAsText?: boolean;
  /** The result of a task is the bare reference, and no XML around it. */
  readonly bareResult?: boolean;
}

export interface Call {
  readonly method: string;
  readonly params: readonly unknown[];
  readonly id: unknown;
  readonly version: 1 | 2;
}

/** `undefined` is answered with `BROKEN`. */
export function parseCall(body: string): Call | undefined {
  try {
    const { jsonrpc, method, params, id } = JSON.parse(body) as Record<string, unknown>;
    if (typeof method !== 'string' || !Array.isArray(params) || id === null || id === undefined) return undefined;
    return { method, params, id, version: jsonrpc === '2.0' ? 2 : 1 };
  } catch {
    return undefined;
  }
}

/** The page that XAPI shows. */
export const BROKEN = { status: 500, type: 'text/html', body: '<html><body>Internal error</body></html>' } as const;

/** @param serve what it throws, if no Fault, is an internal error */
export async function answerTo(call: Call, dialect: Dialect, serve: () => Promise<unknown>) {
  const { id } = call;
  const version = dialect.answersAs1 === true ? 1 : call.version;
  let answer: object;
  try {
    const result = await serve();
    answer = version === 2 ? { jsonrpc: '2.0', result, id } : { result, error: null, id };
  } catch (error) {
    const { code, params: data } = error instanceof Fault ? error : new Fault('INTERNAL_ERROR', String(error));
    answer =
      version === 2
        ? { jsonrpc: '2.0', error: { code: 1, message: code, data }, id }
        : { result: null, error: [code, ...data], id };
  }
  const numbers = (_: string, value: unknown) =>
    dialect.numbersAsText === true && Number.isInteger(value) ? String(value) : value;
  return { status: 200, type: 'application/json', body: JSON.stringify(answer, numbers) };
}
