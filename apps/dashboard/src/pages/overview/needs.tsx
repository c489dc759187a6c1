/** What only a person can bring further: each with what to do and where. Not there while there is nothing. */
import { asksForHand, type LmasClient, type Migration } from '@lmas/client';
import type { ComponentChildren } from 'preact';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Loaded } from '../../parts/loaded.tsx';
import { Words } from '../../parts/words.tsx';
import { client, mayForAll } from '../../session/session.ts';

const EVERY_MS = 10_000;
const SHOWN = 20;

interface Need {
  readonly key: string;
  readonly path: string;
  readonly what: string;
  readonly toDo: ComponentChildren;
}

export function NeedsPerson() {
  const seesPolicies = mayForAll('viewer');
  const needs = useResource((options) => listNeeds(client(), { ...options, seesPolicies }), [seesPolicies], {
    everyMs: EVERY_MS,
    withNotices: true,
  });
  if (needs.error === undefined && (needs.data === undefined || needs.data.length === 0)) return null;
  return (
    <section aria-labelledby="needs">
      <h2 id="needs">Needs a person</h2>
      <Loaded of={needs}>
        {(items) => (
          <ul class="needs">
            {items.map(({ key, path, what, toDo }) => (
              <li key={key} class="note">
                <a href={href(path)}>{what}</a>
                <p>{toDo}</p>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </section>
  );
}

async function listNeeds(
  of: LmasClient,
  { signal, seesPolicies }: { signal: AbortSignal; seesPolicies: boolean },
): Promise<Need[]> {
  const needs = 'person' as const;
  const [migrations, runs, webhooks, policies] = await Promise.all([
    of.listMigrations({ needs, limit: SHOWN }, { signal }),
    of.listPlanRuns({ needs, limit: SHOWN }, { signal }),
    of.listWebhooks({ needs, signal }),
    seesPolicies ? of.listBalancingPolicies({ needs, signal }) : [],
  ]);
  return [
    ...migrations.items.map(needOfMigration),
    ...runs.items.map(({ id, plan, mode }) => ({
      key: id,
      path: `/plan-runs/${id}`,
      what: `${plan ?? mode}: a run waits for an approval`,
      toDo: 'Look at what has moved, and approve the next wave or cancel the run.',
    })),
    ...policies.map(({ id }) => ({
      key: `policy ${id}`,
      path: `/balancing/${id}`,
      what: `${id}: the balancing policy proposes moves`,
      toDo: 'Approve or reject each of them.',
    })),
    ...webhooks.map(({ id, disabled }) => ({
      key: `webhook ${id}`,
      path: `/webhooks/${id}`,
      what: `${id}: ${disabled === null ? 'nothing gets through to the webhook' : 'the webhook was switched off'}`,
      toDo: 'Its deliveries say why. Mend its receiver or its address, send a test, and switch it on again if it is off.',
    })),
  ];
}

function needOfMigration(migration: Migration): Need {
  const { id, vm, byHand, leftovers } = migration;
  const isUndecided = asksForHand(migration);
  return {
    key: id,
    path: `/migrations/${id}`,
    what: `${vm.name}: ${isUndecided ? 'the VM needs a person' : 'not everything could be taken down'}`,
    toDo: isUndecided ? (
      <Words of={byHand ?? ''} />
    ) : (
      `${leftovers.join('; ').replace(/\.$/, '')}. It is tried again and again: bring the machine back, or give it up if it is gone for good.`
    ),
  };
}
