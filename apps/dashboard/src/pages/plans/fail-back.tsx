/** Takes a run back: what moved goes to where it was, but for what somebody leaves out. */
import type { PlanRun } from '@lmas/client';
import { useState } from 'preact/hooks';
import { go } from '../../navigation.ts';
import { complaintAt } from '../../parts/complaints.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { ChoiceField, ManyField } from '../../parts/form-fields.tsx';
import type { Complaint } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';
import { LABELS, POWERED_OFF } from './plan-words.ts';
import { canStay, isUnclear, type LeftOut, leftOut } from './run-offers.ts';

export function FailBack({ run, onClose }: { run: PlanRun; onClose: () => void }) {
  const [except, setExcept] = useState<readonly string[]>([]);
  const [poweredOff, setPoweredOff] = useState<LeftOut['poweredOff']>('as-the-plan-says');
  const action = useAction(async () => {
    const back = await client().orderPlanRun(run.id, 'fail-back', leftOut({ except, poweredOff }));
    go(`/plan-runs/${back.id}`);
  });
  const vms = run.items.filter(canStay);
  const nameAt = (path: string) => vms.find(({ key }) => key === path)?.vm.name;
  const inWords = ({ path, message }: Complaint): Complaint => ({ path: nameAt(path) ?? path, message });
  const { poweredOff: ofThePlan } = run.definition;
  return (
    <Confirmation title="Fail back?" verb="Fail back" {...{ action, onClose, inWords }}>
      <p>
        What moved is moved back, wave by wave in the same order. All of it is checked first: one VM that is off by now,
        or gone, stands in the way of all others until it is left out.
      </p>
      <ManyField
        legend="VMs that stay where they are"
        error={complaintAt(action.error, (path) => path === 'except' || nameAt(path) !== undefined)}
        choices={vms.map((item) => [item.vm.id, `${item.vm.name} (${whereWords(item)})`])}
        value={except}
        onChange={setExcept}
      />
      <ChoiceField
        label={LABELS.poweredOff}
        hint="As they are when it is checked."
        error={complaintAt(action.error, (path) => path === 'poweredOff')}
        choices={[
          ['as-the-plan-says', `as the plan says: ${POWERED_OFF[ofThePlan]}`],
          ...(['refuse', 'leave'] as const)
            .filter((one) => one !== ofThePlan)
            .map((one) => [one, POWERED_OFF[one]] as const),
        ]}
        value={poweredOff}
        onChange={setPoweredOff}
      />
    </Confirmation>
  );
}

const whereWords = (item: PlanRun['items'][number]): string =>
  isUnclear(item) ? 'where it runs is not clear' : `at ${item.destination.endpoint}, was at ${item.source.endpoint}`;
