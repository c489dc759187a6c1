/**
 * `npm run faults`: kills, freezes and cuts things at random while a VM migrates to and fro, for a set time and seed,
 * and asks after each migration whether every promise held.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { SiteName } from '../lab/src/index.ts';
import { type WatchedVm, World } from '../support/world.ts';
import { Random } from './random.ts';
import { playRound, type RoundReport } from './round.ts';

const HELP = `Usage: npm run faults -- [options]

Migrates a VM to and fro on the lab while orchestrator, Redis, gateways, sshd, libvirtd, the management network and the
link fail at random, several at once. After each migration: exactly one VM runs, it is the same guest with all of its
memory, it never ran twice, the record tells the truth, nothing is left over. Stops at the first broken promise.

  --seconds N    how long (default 60); the last round is finished
  --seed S       repeats the faults of an earlier run (default: by the clock, printed)
  --json FILE    write {seed, rounds, failure} as JSON
  --yes          install what is missing without asking
  --help         show this

Exit code: 0 every promise held; 1 one was broken; 2 wrong usage; 130 interrupted.`;

interface FaultsOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly jsonFile: string | undefined;
}

function readOptions(): FaultsOptions | 'help' | string {
  const options = {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    json: { type: 'string' },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    const { values } = parseArgs({ options });
    if (values.help) return 'help';
    const seconds = Number(values.seconds);
    const seed = Number(values.seed);
    if (!(seconds > 0 && seconds <= 86_400)) return `--seconds takes a number up to 86400, not "${values.seconds}".`;
    if (!Number.isSafeInteger(seed)) return `--seed takes an integer, not "${values.seed}".`;
    return { seconds, seed, jsonFile: values.json };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function play({ seconds, seed }: FaultsOptions, rounds: RoundReport[], signal: AbortSignal): Promise<void> {
  const random = new Random(seed);
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
    const deadline = performance.now() + seconds * 1_000;
    let site: SiteName = 'a';
    while (performance.now() < deadline && !signal.aborted) {
      const round = await playRound(world, vm, site, random);
      rounds.push(round);
      site = round.foundAt;
      console.log(line(rounds.length, round));
    }
  } catch (error) {
    console.error(`${await world.describeTrouble()}\n`);
    throw error;
  } finally {
    vm?.endWatch();
    await world.down();
  }
}

function line(number: number, { faults, phase, foundAt, error, durationMs }: RoundReport): string {
  const took = `${(durationMs / 1000).toFixed(0)} s`.padStart(5);
  return `${String(number).padStart(3)} ${took}  ${phase}${error ? ` (${error})` : ''}, VM verified at ${foundAt.toUpperCase()}  ← ${faults.join('; ')}`;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === 'help') {
    console.log(HELP);
    return 0;
  }
  if (typeof options === 'string') {
    console.error(`${options}\nTry: npm run faults -- --help`);
    return 2;
  }
  const interrupted = new AbortController();
  process.on('SIGINT', () => {
    console.log('\nInterrupted; this round is finished and everything taken down …');
    interrupted.abort();
  });
  console.log(`Faults for ${options.seconds} s, seed ${options.seed}`);
  const rounds: RoundReport[] = [];
  let failure: string | null = null;
  try {
    await play(options, rounds, interrupted.signal);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    console.error(`A promise was broken in round ${rounds.length + 1} of seed ${options.seed}: ${failure}`);
  }
  if (options.jsonFile)
    writeFileSync(options.jsonFile, `${JSON.stringify({ seed: options.seed, rounds, failure }, null, 2)}\n`);
  if (failure !== null) return 1;
  if (interrupted.signal.aborted) return 130;
  console.log(`${rounds.length} migrations, every promise held.`);
  return 0;
}

process.exitCode = await main();
