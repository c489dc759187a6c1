/**
 * What can be said when the source is gone, and no more than that. LMAS moves VMs that run: it keeps no copy of one, it
 * cannot see whether a host that does not answer still runs its VMs, and no plugin starts a VM. So nothing is started
 * here; what is known of each VM, what a person has to make sure of, and what can be done then, is told. Pure.
 */
import { type PlanItem, type PlanRun, sourceOf, type VmSelector } from './record.ts';
import { hasAnswered, type Survey } from './survey.ts';

type Statement = PlanRun['reasons'][number];

export function assess(run: PlanRun, survey: Survey, former: PlanRun | undefined, nowMs: number): PlanRun {
  const { silent } = run.definition;
  const statements = run.definition.waves.flatMap(({ vms }, wave) =>
    vms.flatMap((selector, index) =>
      statementsAbout(
        { selector, silent },
        `waves.${wave}.vms.${index}`,
        survey,
        former?.items.filter((item) => item.wave === wave) ?? [],
      ),
    ),
  );
  const message =
    'Nothing was started: LMAS keeps no copies, and cannot see whether a silent host still runs its VMs. The reasons say what is known.';
  return { ...run, phase: 'failed', reasons: statements, message, endedAt: new Date(nowMs).toISOString() };
}

function statementsAbout(
  { selector, silent: whenSilent }: { selector: VmSelector; silent: PlanRun['definition']['silent'] },
  path: string,
  survey: Survey,
  remembered: readonly PlanItem[],
): Statement[] {
  const sources = sourcesOf(selector, survey);
  const answering = sources.filter((id) => hasAnswered(survey.inventories.get(id)));
  const silent = sources.filter((id) => !answering.includes(id));
  // What is named outright is moved from whoever answers; of a whole site a silent endpoint holds up all of it.
  const isHeldUp = whenSilent === 'refuse' && selector.kind !== 'vm' && silent.length > 0;
  const say = (message: string): Statement => ({ path, message });
  const statements = answering.map((id) =>
    say(
      `${id} answers: what it has can be moved live. Use \`failover\` for it${isHeldUp ? ', with `silent: leave` in the plan: it is refused otherwise' : ''}.`,
    ),
  );
  for (const id of silent) {
    const inventory = survey.inventories.get(id);
    const why = inventory === undefined || hasAnswered(inventory) ? 'it is not known' : inventory.unanswered;
    statements.push(
      say(
        `${id} does not answer (${why}). It may still run its VMs. Fence it first: switch it off, and see with your own eyes, or its management board's, that it is off.`,
      ),
    );
  }
  if (silent.length === 0) return statements;
  const names =
    selector.kind === 'vm'
      ? [selector.vm]
      : remembered.filter(({ source }) => silent.includes(source.endpoint)).map(({ vm }) => vm.id);
  if (names.length === 0)
    statements.push(say('Which VMs ran there is not known: no earlier run of this plan found them.'));
  return [...statements, ...names.map((name) => say(stateOf(name, silent, survey, remembered)))];
}

function sourcesOf(selector: VmSelector, survey: Survey): string[] {
  const place = sourceOf(selector);
  if ('endpoint' in place) return [place.endpoint];
  return [...survey.endpoints.values()].filter(({ site }) => site === place.site).map(({ id }) => id);
}

function stateOf(name: string, silent: readonly string[], survey: Survey, remembered: readonly PlanItem[]): string {
  const known = remembered.find(({ vm }) => vm.id === name || vm.name === name);
  const called = known?.vm.name ?? name;
  for (const [endpoint, inventory] of survey.inventories) {
    if (silent.includes(endpoint) || !hasAnswered(inventory)) continue;
    const vm = inventory.vms.find(({ id, name: other }) => id === name || other === name);
    if (vm?.presence === 'running') return `${called} runs at ${endpoint}.`;
    if (vm !== undefined) {
      return `${called} is ${vm.presence} at ${endpoint}. Only once ${silent.join(', ')} is fenced may it be started there, by hand.`;
    }
  }
  const disks = (known?.disks ?? []).flatMap(({ location }) => (location === null ? [] : [location]));
  const last = disks.length === 0 ? '' : ` Its disks were last seen at ${disks.join(', ')}.`;
  return `Nobody who answers knows ${called}: it can be brought back only from a replica or a backup of its disks, after fencing.${last}`;
}
