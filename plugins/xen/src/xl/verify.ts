/**
 * What only a real host can show of plain Xen, looked at without a change: who we are there, what xl prints, and whether the
 * host has what a migration will need.
 */
import { type VerificationQuestion, type VerificationStep, verifyInOrder } from '@lmas/plugin-api';
import type { Description } from './client.ts';
import { bridgesOf, type Guest } from './guests.ts';
import { GIVEN_AWAY, INCOMING, readConfigs, readInfo, readList } from './listing.ts';
import type { XlSession } from './session.ts';

interface Seen {
  readonly description: Description;
  readonly guests: readonly Guest[];
}

export async function* verifyHost(
  session: XlSession,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<VerificationStep, void, undefined> {
  const { migrationAddress: address, receivePorts, sharedPaths: paths } = session.config;
  const ports = [receivePorts.from, receivePorts.to] as const;
  let seen: Seen | undefined;
  const look = async (): Promise<Seen> =>
    (seen ??= await session.describe({ signal, all: true, address, ports, paths }));
  yield* verifyInOrder(questions(session, look), { signal });
}

const failed = (seen: string, remedy: string) => ({ outcome: 'failed', seen, remedy }) as const;

function questions({ config }: XlSession, look: () => Promise<Seen>): readonly VerificationQuestion[] {
  const ask = (
    name: string,
    answer: (seen: Seen) => ReturnType<typeof failed> | string,
    needs: readonly string[] = ['xl'],
  ): VerificationQuestion => ({ name, needs, ask: async () => answer(await look()) });
  const { from, to } = config.receivePorts;
  return [
    ask(
      'xl',
      ({ description: { info, list, configs } }) => {
        const { name, version } = readInfo(info);
        return `${name} runs Xen ${version}; xl lists ${readList(list).length} domains and ${readConfigs(configs).size} configurations.`;
      },
      [],
    ),
    ask('root', ({ description: { root } }) =>
      root ? 'The login is root’s.' : failed('The login is not root’s.', 'xl needs root: use a credential of root.'),
    ),
    ask('resume', ({ description: { resumes } }) =>
      resumes
        ? 'xl can resume a guest that was left suspended.'
        : 'xl of this release has no "resume": a guest that a lost link leaves suspended here has to be destroyed and started anew.',
    ),
    ask('migration-address', ({ description: { bindable } }) =>
      bindable > 0
        ? `${config.migrationAddress} is this host’s; ${bindable} of its ports ${from} to ${to} are free.`
        : failed(
            `None of the ports ${from} to ${to} can be listened at on ${config.migrationAddress}.`,
            'Correct migrationAddress and receivePorts of this endpoint.',
          ),
    ),
    ask('run-directory', ({ description: { runDirectory } }) => seeRunDirectory(config.runDirectory, runDirectory)),
    ask('half-moved', ({ description: { receiving, left }, guests }) => {
      const halves = guests.filter(({ domain: { name } }) => name.endsWith(INCOMING) || name.endsWith(GIVEN_AWAY));
      const names = halves.map(({ domain: { name, domid } }) => {
        const isOurs = left.some((copy) => copy.domid === domid);
        return isOurs ? `${name} (domain ${domid}, left by a migration, never ran)` : `${name} (domain ${domid})`;
      });
      if (names.length === 0) return 'No guest is half-way in a migration, or was left so.';
      if (receiving !== null) return `${names.join(', ')}; ${receiving}.`;
      return failed(
        `Half-way in a migration, or left so: ${names.join(', ')}.`,
        'If no migration is under way, and no xl at work (ps), look at every host that may have the guest (xl list -v). Only what stands still here while the guest runs there may go: xl destroy. If it runs nowhere, let it run where its memory is not older than its disks.',
      );
    }),
    ask('shared-storage', ({ description: { missing } }) => {
      if (config.sharedPaths.length === 0) {
        return failed('No storage is said to be shared, and xl copies no disks.', 'Set sharedPaths of this endpoint.');
      }
      if (missing.length === 0) return `There is ${config.sharedPaths.join(', ')}.`;
      return failed(`There is no ${missing.join(', ')}.`, 'Attach the storage, or correct sharedPaths.');
    }),
    ask('networks', ({ description: { interfaces }, guests }) => {
      const bridges = [...new Set(guests.flatMap(bridgesOf))];
      const gone = bridges.filter((bridge) => !interfaces.includes(bridge));
      if (gone.length > 0) return failed(`Guests use ${gone.join(', ')}, which is not there.`, 'Make that bridge.');
      return `Guests use ${bridges.join(', ') || 'no bridge'}; a destination needs the same names.`;
    }),
  ];
}

/** Notes from before a reboot would speak of guests that are gone, by numbers that others have now. */
function seeRunDirectory(path: string, { writable, mine, kind, inMemory }: Description['runDirectory']) {
  const elsewhere = 'Name another runDirectory, below /run for instance.';
  if (!writable) return failed(`${path} cannot be written to.`, elsewhere);
  if (!mine) return failed(`${path} is no directory that root alone writes to.`, elsewhere);
  if (!inMemory)
    return failed(`${path} is on ${kind || 'an unknown file system'}, which keeps it over a reboot.`, elsewhere);
  return `${path} can be written to, and a reboot empties it (${kind}).`;
}
