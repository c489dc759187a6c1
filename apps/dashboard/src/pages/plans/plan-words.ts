/** What plans and evacuations are asked, and what runs say, in the words of forms and pages. Pure. */
import type { Plan, PlanRun } from '@lmas/client';

type Order = 'name' | 'smallest' | 'largest';

/** Of the reasons of a run: not all that ended badly was refused, some of it had begun. */
export function reasonsHeading({ mode, reasons }: Pick<PlanRun, 'mode' | 'reasons'>): string {
  const all = (...codes: readonly string[]) => reasons.every(({ code = '' }) => codes.includes(code));
  if (mode === 'disaster') return 'What is known';
  if (all('ENDPOINT_SILENT')) return 'What is left';
  return all('ENDPOINT_SILENT', 'APPROVAL_EXPIRED') ? 'Why it ended' : 'It was refused';
}

export const LABELS = {
  except: 'Except',
  first: 'Begin first',
  order: 'Order of the others',
  poweredOff: 'VMs that are powered off',
  silent: 'Hosts of the site that do not answer',
  memory: 'VMs that do not fit into the memory free there',
  cordon: 'Let what is emptied take no VMs from now on',
} as const;

export const HINTS = {
  except: 'VMs that stay: names or ids, with commas.',
  first: 'VMs that begin before all others, in this order: names or ids, with commas.',
  poweredOff: 'Those that their hypervisor cannot move while they are off stay, and are named. Of ours KVM can.',
  silent: 'Where all of a site, or a label there, is chosen. A run that leaves them ends as failed, and says which.',
  memory:
    'All that are sent to the same host are added up. Moved all the same, they overcommit it; Xen cannot, and refuses them in any case.',
  cordon: 'Nothing is sent there until it is uncordoned, on its page.',
} as const;

export const POWERED_OFF: Readonly<Record<Plan['poweredOff'], string>> = {
  refuse: 'make the run be refused',
  leave: 'stay where they are',
  move: 'are moved as they are',
};
export const SILENT: Readonly<Record<Plan['silent'], string>> = {
  refuse: 'make the run be refused',
  leave: 'are left, with what they have',
};
export const MEMORY: Readonly<Record<Plan['memory'], string>> = {
  check: 'are refused',
  overcommit: 'are moved, with a warning',
};
export const ORDER: Readonly<Record<Order, string>> = {
  name: 'by name',
  smallest: 'smallest memory first',
  largest: 'largest memory first',
};

/** As a choice has them. @param values in the order in which they are offered; the first one is what counts by itself */
export const choicesOf = <Value extends string>(
  words: Readonly<Record<Value, string>>,
  values: readonly Value[],
): readonly (readonly [Value, string])[] => values.map((value) => [value, words[value]]);
