/**
 * docs/errors.md, from the error tables of the packages, so that code and page cannot tell different stories.
 */
import { CONNECTION_ERRORS } from '@lmas/client';
import { PLUGIN_ERRORS } from '@lmas/plugin-api';
import { SSH_ERRORS } from '@lmas/ssh';
import { CLI_ERRORS } from '../../../apps/cli/src/errors.ts';
import { errorTable as GATEWAY_ERRORS } from '../../../apps/gateway/src/errors.ts';
import { ORCHESTRATOR_ERRORS } from '../../../apps/orchestrator/src/errors.ts';

interface Entry {
  readonly meaning?: string;
  readonly message?: string;
  readonly retryable?: boolean;
  readonly httpStatus?: number;
  readonly exitCode?: number;
}

const SECTIONS: readonly [title: string, text: string, table: Readonly<Record<string, Entry>>][] = [
  [
    'Orchestrator',
    'In answers of the REST API (`application/problem+json`, with the HTTP status given here) and in the `error` of a migration.',
    ORCHESTRATOR_ERRORS,
  ],
  [
    'Hypervisors',
    'From the plugins, in the `error` of a migration; `native` keeps what the hypervisor itself said, `remedy` what to do.',
    PLUGIN_ERRORS,
  ],
  ['Gateway', 'In the control API, in a gateway’s log, and as counters in `refusals`.', GATEWAY_ERRORS],
  ['SSH', 'Inside the orchestrator and the plugins, found as the cause of others in the log.', SSH_ERRORS],
  ['Client', 'When no usable answer came from the orchestrator.', CONNECTION_ERRORS],
  ['Command line', 'What `lmas` itself finds wrong; the number is its exit code.', CLI_ERRORS],
];

function row([code, { meaning, message, retryable, httpStatus, exitCode }]: [string, Entry]): string {
  const number = httpStatus ?? exitCode ?? '';
  return `| \`${code}\` | ${meaning ?? message ?? ''} | ${retryable === undefined ? '' : retryable ? 'yes' : 'no'} | ${number} |`;
}

export function errorsPage(): string {
  const sections = SECTIONS.map(([title, text, table]) =>
    [
      `## ${title}`,
      '',
      text,
      '',
      '| code | meaning | retry may help | status |',
      '| --- | --- | --- | --- |',
      ...Object.entries(table).map(row),
    ].join('\n'),
  );
  return [
    '# Errors',
    '',
    'Compare codes, never text: texts get better, codes stay. "Retry may help" means that the same request, unchanged, may',
    'succeed later; nothing is retried by itself after a login was refused.',
    '',
    sections.join('\n\n'),
    '',
  ].join('\n');
}
