/** One policy: how busy its hosts are, what it proposes, what it did and why, and how it is set. */
import type { BalancingMove, BalancingPass, BalancingPolicy } from '@lmas/client';
import { formatPeriod, plural } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { Empty } from '../../parts/empty.tsx';
import { type Field, Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Removal } from '../../parts/removal.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, mayForAll } from '../../session/session.ts';
import { periodWords } from '../schedules/schedule-words.ts';
import { HostLoads } from './host-loads.tsx';
import { Moves } from './moves.tsx';
import { Passes } from './passes.tsx';
import { MODES, PolicyState, percent, RESOURCES } from './policy-words.tsx';
import { Proposals } from './proposals.tsx';

const EVERY_MS = 5_000;
const SHOWN_PASSES = 50;
const SHOWN_MOVES = 50;

interface Course {
  readonly policy: BalancingPolicy;
  readonly passes: readonly BalancingPass[];
  readonly moves: readonly BalancingMove[];
}

export function PolicyPage({ id }: { id: string }) {
  const course = useResource(
    async (options): Promise<Course> => {
      const [policy, passes, moves] = await Promise.all([
        client().getBalancingPolicy(id, options),
        client().listBalancingPasses(id, { limit: SHOWN_PASSES }, options),
        client().listBalancingMoves(id, {}, options),
      ]);
      return { policy, passes, moves };
    },
    [id],
    { everyMs: EVERY_MS, withNotices: true },
  );
  return (
    <>
      <PageHeading title={id} within={['Balancing', '/balancing']}>
        {course.data === undefined ? null : <PolicyState policy={course.data.policy} />}
      </PageHeading>
      <Loaded of={course}>{(data) => <Policy {...data} onChanged={course.reload} />}</Loaded>
    </>
  );
}

/** What is still to come, or under way: the hosts were looked at before it. */
const OPEN: ReadonlySet<BalancingMove['state']> = new Set(['proposed', 'decided', 'submitting', 'submitted'] as const);

function Policy({ policy, passes, moves, onChanged }: Course & { onChanged: () => void }) {
  const [newest] = passes;
  const proposed = moves.filter(({ state }) => state === 'proposed');
  const others = moves.filter(({ state }) => state !== 'proposed');
  const byId = new Map(moves.map((move) => [move.id, move]));
  const open = (newest?.moves ?? []).flatMap((id) => byId.get(id) ?? []).filter(({ state }) => OPEN.has(state));
  return (
    <>
      {policy.description === '' ? null : <p>{policy.description}</p>}
      <Actions policy={policy} onChanged={onChanged} />
      <h2>Hosts</h2>
      {newest === undefined ? (
        <Empty>
          <p>No pass yet: nobody has looked at the hosts.</p>
        </Empty>
      ) : (
        <HostLoads {...{ policy, open }} pass={newest} />
      )}
      <h2>Proposals</h2>
      {proposed.length === 0 ? (
        <p class="muted">{NO_PROPOSALS[policy.mode]}</p>
      ) : (
        <Proposals policy={policy.id} moves={proposed} onAnswered={onChanged} />
      )}
      <h2>Passes</h2>
      {passes.length === 0 ? <p class="muted">None yet.</p> : <Passes passes={passes} />}
      <h2>Moves</h2>
      {others.length === 0 ? <p class="muted">None yet.</p> : <Moves moves={others.slice(0, SHOWN_MOVES)} />}
      <h2>Settings</h2>
      <Fields of={settingsOf(policy)} />
    </>
  );
}

const NO_PROPOSALS: Readonly<Record<BalancingPolicy['mode'], string>> = {
  explain: 'This policy only says what it would do: see the passes.',
  propose: 'Nothing waits for an answer.',
  automatic: 'This policy asks nobody: it moves VMs by itself.',
};

function settingsOf(policy: BalancingPolicy): readonly Field[] {
  const { mode, rules, migration } = policy;
  const groups = (all: readonly { readonly vms: readonly string[] }[]) =>
    all.length === 0 ? null : all.map(({ vms }) => vms.join(' + ')).join('; ');
  return [
    ['Mode', `${mode}: ${MODES[mode]}`],
    ...RESOURCES.map(([resource, name]): Field => {
      const { weight, high, low } = policy[resource];
      return [name, weight === 0 ? 'does not count' : `${percent(low)} to ${percent(high)}, weight ${weight}`];
    }),
    ['Looks', policy.passes === 'asked' ? 'only when it is asked to' : `every ${formatPeriod(policy.intervalMs)}`],
    ...hoursOf(policy),
    ['Believes it after', plural(policy.confirmPasses, 'pass')],
    ['A move has to gain', `${(policy.minGain * 100).toFixed(0)} points more than it costs`],
    ['At most', `${policy.maxMovesPerHour} moves an hour, ${policy.maxConcurrent} at once`],
    ['A VM rests for', formatPeriod(policy.vmCoolDownMs)],
    ['A host rests for', formatPeriod(policy.hostCoolDownMs)],
    ['No way back for', formatPeriod(policy.noReturnMs)],
    ['Never moved', [...rules.pinned, ...rules.ignored].join(', ') || null],
    ['Together', groups(rules.affinity)],
    ['Apart', groups(rules.antiAffinity)],
    ['Its migrations', `${migration.transport ?? 'tunnel'}, ${migration.convergence ?? 'balanced'}`],
  ];
}

/** When it makes passes by itself; nothing where that is always. */
function hoursOf({ windows, blackouts, timeZone }: BalancingPolicy): readonly Field[] {
  const words = (periods: BalancingPolicy['windows']) =>
    periods.length === 0 ? null : periods.map(periodWords).join('; ');
  return [
    ['By itself only', words(windows)],
    ['Never by itself', words(blackouts)],
    ['On the clock of', windows.length + blackouts.length === 0 ? null : timeZone],
  ];
}

function Actions({ policy: { id, pausedAt }, onChanged }: { policy: BalancingPolicy; onChanged: () => void }) {
  const [isPausing, askToPause] = useState(false);
  const run = useAction(async () => {
    await client().runBalancingPolicy(id);
    onChanged();
  });
  const resume = useAction(async () => {
    await client().resumeBalancingPolicy(id);
    onChanged();
  });
  const pause = useAction(async () => {
    await client().pauseBalancingPolicy(id);
    onChanged();
  });
  if (!mayForAll('operator')) return null;
  return (
    <div class="actions">
      {pausedAt === null ? (
        <>
          <button type="button" class="primary" disabled={run.busy} onClick={() => void run.run()}>
            {run.busy ? 'Looking at the hosts …' : 'Run a pass'}
          </button>
          <button type="button" onClick={() => askToPause(true)}>
            Pause …
          </button>
        </>
      ) : (
        <button type="button" class="primary" disabled={resume.busy} onClick={() => void resume.run()}>
          Resume
        </button>
      )}
      {mayForAll('admin') ? (
        <>
          <a class="button" href={href(`/balancing/${id}/change`)}>
            Change …
          </a>
          <Removal
            name={id}
            words="Its passes and moves go with it. Migrations that run go on."
            remove={async () => await client().deleteBalancingPolicy(id)}
            onRemoved={() => go('/balancing')}
          />
        </>
      ) : null}
      <Problem error={run.error ?? resume.error} />
      {isPausing ? (
        <Confirmation title={`Pause ${id}?`} verb="Pause" action={pause} onClose={() => askToPause(false)}>
          <p>Proposals are withdrawn, and nothing new is decided. Migrations that run go on.</p>
        </Confirmation>
      ) : null}
    </div>
  );
}
