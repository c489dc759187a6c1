/** The ways to run a plan, each told before it is begun. */
import type { PlanRunMode } from '@lmas/client';
import { useState } from 'preact/hooks';
import { go } from '../../navigation.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

const MODES: readonly (readonly [PlanRunMode, verb: string, words: string])[] = [
  ['validate', 'Validate', 'Every check of every VM is made and the time is predicted. Nothing moves.'],
  [
    'drill',
    'Drill',
    'A copy of each VM is started on the isolated networks that the plan names, checked, kept for a while and undone. The VMs themselves are not touched.',
  ],
  [
    'failover',
    'Fail over',
    'The VMs move, live, wave after wave, once every check has passed. It can be paused and cancelled meanwhile.',
  ],
  [
    'disaster',
    'Disaster',
    'The source is gone: for each VM it is said what is known and what can be done. Nothing is started.',
  ],
];

export function StartRun({ id }: { id: string }) {
  const [asked, ask] = useState<PlanRunMode | null>(null);
  const action = useAction(async () => {
    if (asked !== null) go(`/plan-runs/${(await client().startPlanRun(id, asked)).id}`);
  });
  const mode = MODES.find(([name]) => name === asked);
  return (
    <>
      {MODES.map(([name, verb, words]) => (
        <button
          key={name}
          type="button"
          class={name === 'validate' ? 'primary' : ''}
          title={words}
          onClick={() => ask(name)}
        >
          {verb} …
        </button>
      ))}
      {mode === undefined ? null : (
        <Confirmation title={`${mode[1]} ${id}?`} verb="Start" action={action} onClose={() => ask(null)}>
          <p>{mode[2]}</p>
        </Confirmation>
      )}
    </>
  );
}
