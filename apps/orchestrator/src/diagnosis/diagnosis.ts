/**
 * What an orchestrator can say of itself and of the books it keeps: each check on its own, side by side, none for longer than
 * a few seconds, and one that breaks off is a finding like any other. Far ends are not asked here: those have tests of
 * their own (endpoints, gateway machines, links), which take as long as the network lets them.
 */
import type { Principal } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import { raceSignal } from '../time/waiting.ts';
import { brokenOff, type Check, skipped } from './check.ts';

const PATIENCE_MS = 5_000;

export interface Examination {
  readonly name: string;
  /** Shows what only administrators may see. */
  readonly forAdmins?: boolean;
  examine(): Promise<Check | readonly Check[]>;
}

export interface Diagnosis {
  run(caller: Pick<Principal, 'role'>): Promise<Check[]>;
}

export function createDiagnosis(
  examinations: readonly Examination[],
  { patienceMs = PATIENCE_MS }: { patienceMs?: number } = {},
): Diagnosis {
  const carryOut = async ({ name, examine }: Examination): Promise<readonly Check[]> => {
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new LmasError('UNAVAILABLE', 'There was no answer in time.')),
      patienceMs,
    );
    try {
      return [await raceSignal(examine(), late.signal)].flat();
    } catch (error) {
      return [brokenOff(name, error)];
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    async run({ role }) {
      const checks = examinations.map(async (examination) =>
        examination.forAdmins === true && role !== 'admin'
          ? [skipped(examination.name, 'only a login of role admin may look at it')]
          : await carryOut(examination),
      );
      return (await Promise.all(checks)).flat();
    },
  };
}
