/**
 * The error answers of an operation, as the document shows them: made from the table of errors, so that a code that is
 * documented is one that exists, with the status that it is answered with.
 */
import { describeCode, type OrchestratorErrorCode } from '../errors.ts';
import { problemSchema } from '../schemas/problem.ts';
import { failure } from './answers.ts';
import { PROBLEM_MEDIA_TYPE, problemType } from './problems.ts';

/** Any call may meet these. */
const ALWAYS: readonly OrchestratorErrorCode[] = [
  'INVALID_REQUEST',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'INTERNAL',
  'UNAVAILABLE',
];

/** Names what this operation refuses, beside what any call may be answered with. */
export function failures(...codes: readonly OrchestratorErrorCode[]): { default: typeof failure } {
  const byStatus = new Map<number, OrchestratorErrorCode[]>();
  for (const code of new Set([...ALWAYS, ...codes])) {
    const { httpStatus } = describeCode(code);
    byStatus.set(httpStatus, [...(byStatus.get(httpStatus) ?? []), code]);
  }
  const answers = [...byStatus].sort(([a], [b]) => a - b).map(([status, each]) => [status, answerOf(status, each)]);
  // The handlers never send these by themselves: to their types, they are all "some failure".
  return { ...Object.fromEntries(answers), default: failure } as { default: typeof failure };
}

function answerOf(status: number, codes: readonly OrchestratorErrorCode[]) {
  const meanings = codes.map((code) => `\`${code}\`: ${describeCode(code).message}`);
  const examples = Object.fromEntries(
    codes.map((code) => {
      const { message: title } = describeCode(code);
      return [code, { value: { type: problemType(code), title, status, code } }];
    }),
  );
  return { description: meanings.join('\n\n'), content: { [PROBLEM_MEDIA_TYPE]: { schema: problemSchema, examples } } };
}
