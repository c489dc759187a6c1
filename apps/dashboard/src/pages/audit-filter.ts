/** What is looked for in the audit log: as the address keeps it, and as the orchestrator is asked for it. Pure. */
import type { AuditQuery } from '@lmas/client';

const NAMES = ['outcome', 'caller', 'operation', 'target', 'since', 'until', 'strangers'] as const;
const OUTCOMES = ['done', 'refused', 'failed'] as const;

/** Times as people type them: on the clock of their own place. */
export type AuditFilter = Readonly<Partial<Record<(typeof NAMES)[number], string>>>;

export function filterOf(query: URLSearchParams): AuditFilter {
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ''] as const).filter(([, value]) => value));
}

/** What is in an address may be anything: what the orchestrator would not take is left out. */
export function auditQueryOf({ outcome, since, until, strangers, ...texts }: AuditFilter): AuditQuery {
  const wanted: AuditQuery = { ...texts, strangers: String(strangers === 'true') };
  const known = OUTCOMES.find((name) => name === outcome);
  if (known !== undefined) wanted.outcome = known;
  for (const [name, local = ''] of [['since', since] as const, ['until', until] as const]) {
    const at = new Date(local);
    if (!Number.isNaN(at.getTime())) wanted[name] = at.toISOString();
  }
  return wanted;
}
