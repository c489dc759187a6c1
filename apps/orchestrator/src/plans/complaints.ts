/**
 * Why a plan cannot be carried out as it is: every reason that can be known when it is stored. What depends on who
 * answers at the moment is left to its runs.
 */
import { isIP } from 'node:net';
import { ownName } from '../access/owned-names.ts';
import type { Scope } from '../access/scope.ts';
import { describeError, errorCode, type Issue, LmasError } from '../errors.ts';
import type { AddressGuard } from '../webhooks/address-guard.ts';
import { urlOf } from './checks.ts';
import { requestFor } from './ordered-migrations.ts';
import type { Plan, PlanBody, PlanItem } from './record.ts';
import { resolve } from './resolve.ts';
import { survey } from './survey.ts';

export interface ComplaintTools {
  readonly scope: Scope;
  readonly guard: AddressGuard;
  /** What the plan that is named runs after; undefined: there is none of that name. */
  readonly findPlan: (id: string) => Promise<Pick<Plan, 'after'> | undefined>;
}

/** @param id of the plan; null: it has none, and nobody can name it */
export async function complaintsAbout(
  id: string | null,
  body: PlanBody,
  { scope, guard, findPlan }: ComplaintTools,
  { signal }: { signal: AbortSignal },
): Promise<Issue[]> {
  const found = await survey(body, scope, { signal });
  const { items, issues } = resolve(body, found);
  return [
    ...issues.filter(({ passes }) => passes !== true).map(({ path, message }) => ({ path, message })),
    ...(await requestComplaints(body, items, scope)),
    ...mappingComplaints(body, found.sites),
    ...(await orderComplaints(id, body, findPlan)),
    ...(await checkComplaints(body, guard, scope)),
  ];
}

/** Whatever the migrations would be refused for, once for each pair of endpoints, with the VMs that it keeps. */
async function requestComplaints(
  definition: PlanBody,
  items: readonly PlanItem[],
  { migrations }: Scope,
): Promise<Issue[]> {
  const moved = items.filter(({ state }) => state !== 'left');
  const pairs = Map.groupBy(moved, ({ source, destination }) => `${source.endpoint} to ${destination.endpoint}`);
  const issues: Issue[] = [];
  for (const [pair, [item, ...others]] of pairs) {
    if (item === undefined) continue;
    try {
      await migrations.validate(requestFor({ mode: 'failover', definition, id: '' }, item));
    } catch (error) {
      if (!(error instanceof LmasError) || error.code === 'INTERNAL') throw error;
      const { code, message } = describeError(error);
      const names = inShort([item, ...others].map(({ vm }) => vm.name));
      const text = `${pair} (${names}): ${message} (${code})`;
      issues.push({ path: `waves.${item.wave}`, message: text }, ...(error.issues ?? []));
    }
  }
  return issues;
}

const NAMED = 5;
const inShort = (names: readonly string[]): string =>
  [...names.slice(0, NAMED), ...(names.length > NAMED ? [`${names.length - NAMED} more`] : [])].join(', ');

function mappingComplaints({ mappings }: PlanBody, sites: ReadonlySet<string>): Issue[] {
  const seen = new Set<string>();
  return mappings.flatMap(({ source, destination }, index) => {
    const path = `mappings.${index}`;
    const unknown = [source, destination].filter((site) => !sites.has(site));
    const issues = unknown.map((site) => ({ path, message: `there is no site ${site}` }));
    const pair = `${source}~${destination}`;
    if (seen.has(pair)) issues.push({ path, message: `${source} to ${destination} is mapped before` });
    seen.add(pair);
    return issues;
  });
}

const CIRCLE = 'goes in a circle';

/** Plans that wait for each other would never run. */
async function orderComplaints(
  id: string | null,
  { after }: Pick<PlanBody, 'after'>,
  findPlan: ComplaintTools['findPlan'],
): Promise<Issue[]> {
  const issues: Issue[] = [];
  for (const [index, first] of after.entries()) {
    const path = `after.${index}`;
    // Each plan once, whatever leads to it: the ways are many more than the plans.
    const seen = new Set<string>();
    const visit = async (name: string, way: readonly string[]): Promise<void> => {
      if (name === id || way.includes(name)) {
        issues.push({ path, message: `${CIRCLE}: ${[...way, name].join(' after ')}` });
        return;
      }
      if (seen.has(name)) return;
      seen.add(name);
      const plan = await findPlan(name);
      if (plan === undefined) {
        if (name === first) issues.push({ path, message: `there is no plan ${name}` });
        return;
      }
      for (const next of plan.after) await visit(next, [...way, name]);
    };
    await visit(first, id === null ? [] : [id]);
  }
  return issues;
}

/**
 * The circle that a stored plan is in by way of one that it runs after; undefined: in none. Two people who store each half of it at the same
 * moment see nothing of the other one's, so whoever would wait for ever is told when the plan is to begin.
 * @param getPlan by its name in the project of the plan. @throws what it throws but for PLAN_NOT_FOUND
 */
export async function circleThrough(
  { id, project }: Pick<Plan, 'id' | 'project'>,
  former: string,
  getPlan: (name: string) => Promise<Plan>,
): Promise<string | undefined> {
  const findPlan = async (name: string) => {
    try {
      return await getPlan(name);
    } catch (error) {
      if (errorCode(error) === 'PLAN_NOT_FOUND') return undefined;
      throw error;
    }
  };
  const issues = await orderComplaints(ownName(project, id), { after: [former] }, findPlan);
  return issues.find(({ message }) => message.startsWith(CIRCLE))?.message;
}

async function checkComplaints({ waves }: PlanBody, guard: AddressGuard, { credentials }: Scope): Promise<Issue[]> {
  const issues: Issue[] = [];
  for (const [wave, { afterwards }] of waves.entries()) {
    for (const [index, check] of afterwards.checks.entries()) {
      const path = `waves.${wave}.afterwards.checks.${index}`;
      try {
        const url = urlOf(check);
        // A name may lead elsewhere by then: it is looked at when the check is made.
        if (isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0) guard.checkLiteral(url);
        if (check.kind === 'ssh') await credentials.get(check.credential);
      } catch (error) {
        const isOurs = errorCode(error) === 'CHECK_ADDRESS_REFUSED' || errorCode(error) === 'CREDENTIAL_NOT_FOUND';
        if (!isOurs) throw error;
        const { message, remedy } = describeError(error);
        issues.push({ path, message: remedy === null ? message : `${message} ${remedy}` });
      }
    }
  }
  return issues;
}
