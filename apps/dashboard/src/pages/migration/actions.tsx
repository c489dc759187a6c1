/** What can be done with a migration now: cancel it, change what it may use, try it again. */
import { type Convergence, hasEnded, type Migration, type MigrationChange } from '@lmas/client';
import { useState } from 'preact/hooks';
import { go } from '../../navigation.ts';
import { ConvergenceField } from '../../parts/convergence-field.tsx';
import { Confirmation } from '../../parts/dialog.tsx';
import { BandwidthField, CountField } from '../../parts/limit-fields.tsx';
import { uniqueId } from '../../parts/unique-id.ts';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';
import { cancelWords, nounOf, retryTitle } from './action-words.ts';

type Question = 'cancel' | 'change' | 'retry';

export function Actions({ migration }: { migration: Migration }) {
  const [question, ask] = useState<Question | null>(null);
  if (!may('operator')) return null;
  const ended = hasEnded(migration);
  const close = () => ask(null);
  const whyNot = whyNoCancel(migration);
  return (
    <div class="actions">
      {ended ? null : (
        <>
          <button
            type="button"
            class="danger"
            disabled={whyNot !== null}
            aria-describedby={whyNot === null ? undefined : 'why-no-cancel'}
            onClick={() => ask('cancel')}
          >
            Cancel …
          </button>
          {whyNot === null ? null : (
            <span class="hint" id="why-no-cancel">
              {whyNot}
            </span>
          )}
          <button type="button" onClick={() => ask('change')}>
            Change …
          </button>
        </>
      )}
      {migration.phase === 'failed' || migration.phase === 'cancelled' ? (
        <button type="button" class="primary" onClick={() => ask('retry')}>
          Try again …
        </button>
      ) : null}
      {question === 'cancel' ? <Cancel migration={migration} onClose={close} /> : null}
      {question === 'change' ? <Change migration={migration} onClose={close} /> : null}
      {question === 'retry' ? <Retry migration={migration} onClose={close} /> : null}
    </div>
  );
}

function whyNoCancel({ cancelRequestedAt, pointOfNoReturnAt }: Migration): string | null {
  if (cancelRequestedAt !== null) return 'The cancel is under way';
  return pointOfNoReturnAt === null ? null : 'Too late to cancel: the VM is being handed over';
}

interface QuestionProps {
  readonly migration: Migration;
  readonly onClose: () => void;
}

function Cancel({ migration, onClose }: QuestionProps) {
  const action = useAction(async () => await client().cancelMigration(migration.id));
  return (
    <Confirmation
      title={`Cancel the ${nounOf(migration)} of ${migration.vm.name}?`}
      verb={`Cancel the ${nounOf(migration)}`}
      dangerous
      {...{ action, onClose }}
    >
      <p>{cancelWords(migration)}</p>
    </Confirmation>
  );
}

function Retry({ migration, onClose }: QuestionProps) {
  const [idempotencyKey] = useState(uniqueId);
  const action = useAction(async () => {
    const again = await client().retryMigration(migration.id, { idempotencyKey });
    go(`/migrations/${again.id}`);
  });
  return (
    <Confirmation title={retryTitle(migration)} verb="Try again" {...{ action, onClose }}>
      <p>
        A new {nounOf(migration)} with the same request: {migration.source.endpoint} → {migration.destination.endpoint}.
      </p>
    </Confirmation>
  );
}

function Change({ migration, onClose }: QuestionProps) {
  const { request, changes } = migration;
  const before = {
    bandwidthBytesPerSec:
      changes.bandwidthBytesPerSec === undefined ? request.bandwidthBytesPerSec : changes.bandwidthBytesPerSec,
    convergence: changes.convergence ?? request.convergence,
    maxDowntimeMs: changes.maxDowntimeMs === undefined ? request.maxDowntimeMs : changes.maxDowntimeMs,
  };
  const [bandwidthBytesPerSec, setBandwidth] = useState(before.bandwidthBytesPerSec);
  const [convergence, setConvergence] = useState<Convergence>(before.convergence);
  const [maxDowntimeMs, setDowntime] = useState(before.maxDowntimeMs);
  const action = useAction(async () => {
    const wanted = { bandwidthBytesPerSec, convergence, maxDowntimeMs };
    // Only what was touched: the rest may have been changed by somebody else meanwhile.
    const change = Object.fromEntries(
      Object.entries(wanted).filter(([name, value]) => before[name as keyof typeof before] !== value),
    ) as MigrationChange;
    if (Object.keys(change).length > 0) await client().updateMigration(migration.id, change);
  });
  return (
    <Confirmation
      title={`Change the ${nounOf(migration)} of ${migration.vm.name}`}
      verb="Change"
      {...{ action, onClose }}
    >
      <BandwidthField label="Bandwidth at most" value={bandwidthBytesPerSec} onChange={setBandwidth} />
      <ConvergenceField value={convergence} onChange={setConvergence} />
      <CountField
        label="Max downtime in ms"
        min={1}
        empty="as the convergence setting says"
        value={maxDowntimeMs}
        onChange={setDowntime}
      />
    </Confirmation>
  );
}
