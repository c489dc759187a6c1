/** What can be done with a run now: pause, approve, cancel while it goes; retry, fail back, report when it has ended. */
import type { PlanRun, PlanRunOrder } from '@lmas/client';
import { useState } from 'preact/hooks';
import { Confirmation } from '../../parts/dialog.tsx';
import { Problem } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';
import { FailBack } from './fail-back.tsx';
import { offersOf, waveThatAsks } from './run-offers.ts';

interface Offer {
  readonly order: PlanRunOrder;
  readonly verb: string;
  readonly words: string;
  readonly dangerous?: boolean;
}

const OFFERS: Readonly<Record<PlanRunOrder, Offer>> = {
  pause: { order: 'pause', verb: 'Pause', words: 'Nothing more begins; what moves goes on.' },
  resume: { order: 'resume', verb: 'Resume', words: 'The next VMs begin as their turn comes.' },
  approve: { order: 'approve', verb: 'Approve', words: 'What comes after this wave goes on.' },
  cancel: {
    order: 'cancel',
    verb: 'Cancel the run',
    words: 'Nothing more begins, and what moves is cancelled. What has arrived stays there.',
    dangerous: true,
  },
  retry: { order: 'retry', verb: 'Try again', words: 'Only what failed, was refused or was never begun.' },
  // Asked with more, in a dialog of its own.
  'fail-back': { order: 'fail-back', verb: 'Fail back', words: '' },
};

const OF_DRILLS: Readonly<Partial<Record<PlanRunOrder, Partial<Offer>>>> = {
  cancel: { words: 'Nothing more begins, and every copy is undone at once.' },
};

const APPROVED_AND_PAUSED = 'It is approved now, and begins when the run is resumed.';

function inThisRun(order: PlanRunOrder, { mode, pausedAt }: PlanRun): Partial<Offer> {
  const ofDrills = mode === 'drill' ? OF_DRILLS[order] : {};
  return { ...ofDrills, ...(order === 'approve' && pausedAt !== null ? { words: APPROVED_AND_PAUSED } : {}) };
}

export function RunActions({ run, onChanged }: { run: PlanRun; onChanged: () => void }) {
  const [asked, setAsked] = useState<PlanRunOrder | null>(null);
  /** The wave that waited when the button was pressed: by the time of the answer it may be another one. */
  const [wave, setWave] = useState<number | undefined>();
  const ask = (order: PlanRunOrder | null) => {
    setWave(waveThatAsks(run));
    setAsked(order);
  };
  const action = useAction(async () => {
    if (asked === null) return;
    await client().orderPlanRun(run.id, asked, asked === 'approve' && wave !== undefined ? { wave } : {});
    onChanged();
  });
  const report = useAction(async () => await openReport(run.id));
  const offers = may('operator') ? offersOf(run) : [];
  const offer = asked === null ? undefined : { ...OFFERS[asked], ...inThisRun(asked, run) };
  return (
    <div class="actions">
      {offers.map((order) => (
        <button key={order} type="button" class={OFFERS[order].dangerous ? 'danger' : ''} onClick={() => ask(order)}>
          {OFFERS[order].verb} …
        </button>
      ))}
      <button type="button" disabled={report.busy} onClick={() => void report.run()}>
        Report
      </button>
      <Problem error={report.error} />
      {asked === 'fail-back' ? <FailBack run={run} onClose={() => ask(null)} /> : null}
      {offer === undefined || asked === 'fail-back' ? null : (
        <Confirmation
          title={`${offer.verb}?`}
          verb={offer.verb}
          dangerous={offer.dangerous ?? false}
          action={action}
          onClose={() => ask(null)}
        >
          <p>{offer.words}</p>
        </Confirmation>
      )}
    </div>
  );
}

/** The report is a page of its own, to be printed or kept. It needs the login, so no plain link leads to it. */
async function openReport(id: string): Promise<void> {
  const page = await client().getPlanReportPage(id);
  const address = URL.createObjectURL(new Blob([page], { type: 'text/html' }));
  const link = Object.assign(document.createElement('a'), { href: address, download: `report-${id}.html` });
  link.click();
  URL.revokeObjectURL(address);
}
