/**
 * What a plan does with a VM that does not run: it is moved as it is, left, or refused; and the words for that. Pure.
 *
 * Only one that is off can be moved as it is. One that is paused has a guest with its memory, one that is arriving belongs to a
 * migration: these stay, and are told of. What is off here and known at another host of its site as well may be no more than a
 * definition that was left over, with disks that another one writes: it stays, too, and so it does while a host of its site does not
 * answer, for it may run there.
 */
import type { VmSummary } from '@lmas/plugin-api';
import type { PlanBody, PlanItem, PlanRun } from './record.ts';
import { hasAnswered, type Survey } from './survey.ts';

type Finding = PlanItem['findings'][number];

export interface Rest {
  /** It is moved as it is. */
  readonly moves: boolean;
  /** Why the run is refused, where it is. */
  readonly refusal: string | undefined;
  /** Why it stays. What is said of one that moves goes with its checks (validate.ts), which a retry makes anew. */
  readonly finding: Finding | undefined;
}

/** Of a VM that is neither running nor off. */
export const NOT_RUNNING = 'NOT_RUNNING';

/** `undefined`: it runs. */
export function restOf(
  vm: VmSummary,
  { id: endpoint, plugin, site }: { readonly id: string; readonly plugin: string; readonly site: string },
  { poweredOff }: Pick<PlanBody, 'poweredOff'>,
  survey: Survey,
): Rest | undefined {
  const { name, presence } = vm;
  if (presence === 'running') return undefined;
  const refuses = poweredOff === 'refuse';
  if (presence !== 'stopped') {
    const finding = notMoved(NOT_RUNNING, `${name} ${HOW[presence] ?? `is ${presence}`}.`, 'Then begin a new run.');
    return {
      moves: false,
      refusal: refuses ? `${finding.message} At ${endpoint} it is neither running nor off: leave it out` : undefined,
      finding,
    };
  }
  const can = survey.movesPoweredOff?.has(endpoint) === true;
  if (can && poweredOff === 'move') {
    const doubt = isElsewhere(vm, { endpoint, site }, survey) ?? mayRun(name, silentAt(site, survey));
    return { moves: doubt === undefined, refusal: undefined, finding: doubt };
  }
  const others = can
    ? 'Start it, leave it out, or say `poweredOff: move` or `leave`'
    : `plugin ${plugin} moves running VMs only. Start it, leave it out, or say \`poweredOff: leave\``;
  return {
    moves: false,
    refusal: refuses ? `${name} is stopped at ${endpoint}: ${others}` : undefined,
    finding: can
      ? notMoved(
          'POWERED_OFF',
          `${name} is powered off, and is left where it is.`,
          'With `poweredOff: move` a fail-over moves it as it is; to move live, or to be rehearsed, it has to run.',
        )
      : notMoved(
          'POWERED_OFF',
          `${name} is stopped: not supported by plugin ${plugin}, which moves running VMs only. It is left where it is.`,
          'Start it before the run, or move its definition and its disks by hand.',
        ),
  };
}

const HOW: Readonly<Partial<Record<VmSummary['presence'], string>>> = {
  paused:
    'is paused: its guest stands still with its memory, so it is neither moved live nor as one that is off. Resume it, or shut it down',
  incoming: 'is arriving: a migration brings it there. Wait for its end',
};

/** An endpoint of the site that was asked, and has not answered. */
const silentAt = (site: string, { endpoints, inventories }: Survey): string | undefined =>
  [...inventories].find(([id, inventory]) => endpoints.get(id)?.site === site && !hasAnswered(inventory))?.[0];

const mayRun = (name: string, silent: string | undefined): Finding | undefined =>
  silent === undefined
    ? undefined
    : notMoved(
        'POWERED_OFF',
        `${name} is powered off here, and may run at ${silent}, which does not answer. It is left where it is.`,
        'Begin a new run once all hosts of the site answer.',
      );

/** Another endpoint knows it: of its site in whatever state, of another one as what is not off (its checks see the rest). */
function isElsewhere(
  { id, name }: VmSummary,
  here: { readonly endpoint: string; readonly site: string },
  { endpoints, inventories }: Survey,
): Finding | undefined {
  const others = [...inventories].flatMap(([endpoint, inventory]) => {
    const vm = hasAnswered(inventory) && endpoint !== here.endpoint && inventory.vms.find((one) => one.id === id);
    return vm ? [{ endpoint, presence: vm.presence }] : [];
  });
  const alive = others.find(({ presence }) => presence !== 'stopped');
  if (alive !== undefined) {
    const does = { running: 'runs', incoming: 'is arriving' }[String(alive.presence)] ?? `is ${alive.presence}`;
    return notMoved(
      'POWERED_OFF',
      `${name} is powered off at ${here.endpoint}, and ${does} at ${alive.endpoint}: what is here was left over. It is left where it is.`,
      `Remove the definition at ${here.endpoint} by hand, not its disks; move the VM from ${alive.endpoint}.`,
    );
  }
  const off = others.filter(({ endpoint }) => endpoints.get(endpoint)?.site === here.site);
  if (off.length === 0) return undefined;
  const where = off.map(({ endpoint }) => endpoint).join(', ');
  return notMoved(
    'POWERED_OFF',
    `${name} is powered off at ${here.endpoint}, and ${where} can start it as well: which of them counts is not known. It is left where it is.`,
    'Remove by hand what was left over of it, not the disks of the one that counts; then begin a new run.',
  );
}

const notMoved = (code: string, message: string, remedy: string): Finding => ({
  ...{ severity: 'warning', code, message, remedy },
});

/** Goes with what its checks find. */
export const movesOff = (name: string): Finding => ({
  severity: 'note',
  code: 'POWERED_OFF',
  message: `${name} is powered off: it is moved as it is, and stays off.`,
  remedy: 'Nothing is to be done.',
});

/** As a run of this mode takes it: a drill copies VMs that run. */
export const asTaken = ({ definition, mode }: Pick<PlanRun, 'definition' | 'mode'>): PlanBody =>
  mode === 'drill' && definition.poweredOff === 'move' ? { ...definition, poweredOff: 'leave' } : definition;
