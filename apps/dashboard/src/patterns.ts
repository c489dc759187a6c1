/**
 * The addresses that have a page, and how a path is matched with them. Pure, so that whoever visits every page knows that none
 * was left out.
 */

/** The first that fits counts. What is made anew is below `/new`, where no name of anybody's can be in its way. */
export const PATTERNS = [
  '/',
  '/migrations',
  '/migrations/new',
  '/migrations/:id',
  '/queue',
  '/queue/timetable',
  '/plans',
  '/new/plan',
  '/evacuate',
  '/plans/:id',
  '/plans/:id/change',
  '/plan-runs/:id',
  '/schedules',
  '/new/schedule',
  '/schedules/:id',
  '/schedules/:id/change',
  '/balancing',
  '/new/policy',
  '/balancing/:id',
  '/balancing/:id/change',
  '/sites',
  '/new/site',
  '/sites/:id/change',
  '/links/:id',
  '/links/:id/timetable',
  '/new/endpoint',
  '/endpoints/:id',
  '/endpoints/:id/change',
  '/credentials',
  '/webhooks',
  '/webhooks/:id',
  '/access',
  '/audit',
  '/system',
] as const;

export type Pattern = (typeof PATTERNS)[number];

/** The values of `:names` in `pattern` if `path` fits it, else null. Values are decoded. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | null {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return null;
  const values: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const value = given[i] ?? '';
    if (part.startsWith(':')) values[part.slice(1)] = decoded(value);
    else if (part !== value) return null;
  }
  return values;
}

/** What somebody typed into the address bar may be no percent-encoding at all. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
