/** How a host or a site is emptied, as the form has it, the request that it makes, and its words. Pure. */
import type { EvacuationInput } from '@lmas/client';
import type { Complaint } from '../../parts/problem.tsx';
import { namesIn } from '../../parts/vm-names.ts';
import { LABELS as OF_PLANS } from './plan-words.ts';

type Chosen = 'concurrency' | 'order' | 'onFailure' | 'poweredOff' | 'silent' | 'memory' | 'cordon';

export interface EvacuationDraft extends Required<Pick<EvacuationInput, Chosen>> {
  /** `endpoint:host-a` or `site:lisbon`, as the choices name it. */
  readonly source: string;
  readonly destination: string;
  /** As they are typed. */
  readonly except: string;
  readonly first: string;
  readonly transport: 'tunnel' | 'direct';
}

/** What the orchestrator takes where nothing is said. */
export const emptyEvacuation: EvacuationDraft = {
  ...{ source: '', destination: '', except: '', first: '', order: 'name' },
  ...{ concurrency: 2, onFailure: 'go-on', poweredOff: 'move', silent: 'leave', memory: 'check', transport: 'tunnel' },
  cordon: false,
};

export const LABELS: Readonly<Record<keyof EvacuationDraft, string>> = {
  ...OF_PLANS,
  source: 'Empty',
  destination: 'Move all to',
  concurrency: 'So many at once',
  onFailure: 'After a failure',
  transport: 'Transport',
};

export const isOfSite = ({ source }: EvacuationDraft): boolean => source.startsWith('site:');

export function requestOf({ transport, ...draft }: EvacuationDraft): EvacuationInput {
  return {
    ...draft,
    source: placeOf(draft.source),
    destination: placeOf(draft.destination),
    except: namesIn(draft.except),
    first: namesIn(draft.first),
    migration: { transport },
  };
}

function placeOf(choice: string): { endpoint: string } | { site: string } {
  const [kind, id = ''] = choice.split(':');
  return kind === 'site' ? { site: id } : { endpoint: id };
}

/** An evacuation is a plan of one wave with one selector: it complains of `waves.0.vms.0.first` as of `first`. */
export function fieldOf(path: string): keyof EvacuationDraft | undefined {
  const [name = ''] = path.replace(/^waves\.0\.vms\.0\./, '').split('.');
  return Object.hasOwn(LABELS, name) ? (name as keyof EvacuationDraft) : undefined;
}

export function inWords({ path, message }: Complaint): Complaint {
  const field = fieldOf(path);
  return { path: field === undefined ? path : LABELS[field], message };
}
