/** What is asked before something is done with a migration, in the words of what it is: a move, or a rehearsal of one. Pure. */
import type { Migration } from '@lmas/client';

type Asked = Pick<Migration, 'purpose' | 'source' | 'vm'> & {
  readonly request: Pick<Migration['request'], 'powerState'>;
};

export const nounOf = ({ purpose }: Pick<Migration, 'purpose'>): string =>
  purpose === 'drill' ? 'drill' : 'migration';

export function cancelWords(migration: Asked): string {
  const { purpose, source, request } = migration;
  const state = request.powerState === 'off' ? 'powered off' : 'running';
  const made = purpose === 'drill' ? 'drill, its copy as well,' : 'migration';
  return `The VM stays at ${source.endpoint}, ${state}. Everything that was made for the ${made} is taken down.`;
}

export const retryTitle = ({ purpose, vm }: Asked): string =>
  purpose === 'drill' ? `Rehearse the move of ${vm.name} again?` : `Move ${vm.name} again?`;
