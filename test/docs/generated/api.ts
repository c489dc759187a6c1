/**
 * docs/api-reference.md, from the OpenAPI document and the table of who may call what.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ROUTE_ACCESS } from '../../../apps/orchestrator/src/http/route-access.ts';

const operationSchema = z.object({
  operationId: z.string(),
  tags: z.array(z.string()).length(1),
  summary: z.string(),
  description: z.string(),
});
const documentSchema = z.object({
  tags: z.array(z.object({ name: z.string(), description: z.string() })),
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
});

const OPENAPI = new URL('../../../packages/client/openapi.json', import.meta.url);

function accessOf(operationId: string): string {
  const access = ROUTE_ACCESS[operationId];
  if (access === undefined) throw new Error(`Who may call ${operationId}?`);
  if (access === 'open') return 'anybody';
  return access.wholeInstallation ? `${access.role}, of no project` : access.role;
}

const plain = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');

export function apiPage(): string {
  const { tags, paths } = documentSchema.parse(JSON.parse(readFileSync(OPENAPI, 'utf8')));
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
  );
  const sections = tags.map(({ name, description }) => {
    const rows = operations
      .filter((operation) => operation.tags.includes(name))
      .map(({ method, path, operationId, summary, description: text }) => {
        return `| \`${method} ${path}\` | **${plain(summary)}.** ${plain(text)} | ${accessOf(operationId)} |`;
      });
    return [`## ${name}`, '', description, '', '| call | | least role |', '| --- | --- | --- |', ...rows].join('\n');
  });
  return [
    '# Every call of the API',
    '',
    'What holds for all of them (errors, idempotency, changes by two people, lists, streams) is in [api.md](api.md). Every field of every body and answer is',
    'in the [OpenAPI document](../packages/client/openapi.json), which a running orchestrator serves at `/openapi.json` and, to browse and try, at `/docs`.',
    '"Of no project" is who sees the whole installation ([security.md](security.md#who-may-do-what)).',
    '',
    sections.join('\n\n'),
    '',
  ].join('\n');
}
