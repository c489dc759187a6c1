/** Machines and daemons fail at random, several at once, while a VM migrates to and fro: see faults.ts and round.ts. */
import type { SiteName } from '../lab/src/index.ts';
import { type WatchedVm, World } from '../support/world.ts';
import { Random } from './random.ts';
import { playRound, type RoundReport } from './round.ts';
import { type Suite, type SuiteOptions, seconds } from './suite.ts';

export const machines: Suite = {
  about: `Orchestrator, Redis, gateways, sshd, libvirtd, the management network and the link fail, several at once. After each
           migration: exactly one VM runs, it is the same guest with all of its memory, it never ran twice, the record
           tells the truth, nothing is left over.`,
  play,
};

async function play(options: SuiteOptions): Promise<void> {
  const random = new Random(options.seed);
  const world = await World.up({ name: 'faults', rateMbit: 1_000, rttMs: 40 });
  let vm: WatchedVm | undefined;
  try {
    vm = await world.startVm({
      name: 'faults',
      memoryMib: 320,
      fillMib: 280,
      workingSetMib: 32,
      dirtyPagesPerSec: 500,
    });
    const deadline = performance.now() + options.seconds * 1_000;
    let site: SiteName = 'a';
    while (performance.now() < deadline && !options.signal.aborted) {
      const round = await playRound(world, vm, site, random);
      site = round.foundAt;
      options.onRound(line(round), round);
    }
  } catch (error) {
    console.error(`${await world.describeTrouble()}\n`);
    throw error;
  } finally {
    vm?.endWatch();
    await world.down();
  }
}

function line({ faults, phase, foundAt, error, durationMs }: RoundReport): string {
  const outcome = `${phase}${error ? ` (${error})` : ''}`;
  return `${seconds(durationMs)}  ${outcome}, VM verified at ${foundAt.toUpperCase()}  ← ${faults.join('; ')}`;
}
