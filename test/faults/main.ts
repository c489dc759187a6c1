/**
 * `npm run faults`: breaks things at random while VMs migrate, for a set time and seed, and asks after each migration whether every
 * promise held. Which things, and which promises, is a suite's business.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LabError } from '../lab/src/index.ts';
import { fuzz } from './fuzz.ts';
import { machines } from './machines.ts';
import { outages } from './outages.ts';
import type { Suite } from './suite.ts';
import { tunnel } from './tunnel.ts';

const SUITES: Readonly<Record<string, Suite>> = { machines, tunnel, outages, fuzz };
const DEFAULT_SUITE = 'machines';

const HELP = `Usage: npm run faults -- [options]

Breaks things while VMs migrate on the lab, and stops at the first broken promise.

  --suite NAME   what is broken (default ${DEFAULT_SUITE}), see below
  --seconds N    how long (default 60); the last round is finished
  --seed S       repeats the faults of an earlier run (default: by the clock, printed)
  --json FILE    write {suite, seed, rounds, failure} as JSON
  --yes          install what is missing without asking
  --help         show this

Suites:
${Object.entries(SUITES)
  .map(([name, { about }]) => `  ${name.padEnd(8)} ${about}`)
  .join('\n')}

Exit code: 0 every promise held; 1 one was broken; 2 wrong usage; 3 it could not run; 130 interrupted.`;

interface FaultsOptions {
  readonly name: string;
  readonly suite: Suite;
  readonly seconds: number;
  readonly seed: number;
  readonly jsonFile: string | undefined;
}

function readOptions(): FaultsOptions | 'help' | string {
  const options = {
    suite: { type: 'string', default: DEFAULT_SUITE },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    json: { type: 'string' },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    const { values } = parseArgs({ options });
    if (values.help) return 'help';
    const suite = Object.hasOwn(SUITES, values.suite) ? SUITES[values.suite] : undefined;
    if (suite === undefined)
      return `There is no suite "${values.suite}". Suites are ${Object.keys(SUITES).join(', ')}.`;
    const seconds = Number(values.seconds);
    const seed = Number(values.seed);
    if (!(seconds > 0 && seconds <= 86_400)) return `--seconds takes a number up to 86400, not "${values.seconds}".`;
    if (!Number.isSafeInteger(seed)) return `--seed takes an integer, not "${values.seed}".`;
    return { name: values.suite, suite, seconds, seed, jsonFile: values.json };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
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
  const { name, suite, seconds, seed, jsonFile } = options;
  const interrupted = new AbortController();
  const interrupt = (): void => {
    console.log('\nInterrupted; this round is finished and everything taken down …');
    interrupted.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  console.log(`Faults (${name}) for ${seconds} s, seed ${seed}`);
  const rounds: object[] = [];
  const onRound = (line: string, round: object): void => {
    rounds.push(round);
    console.log(`${String(rounds.length).padStart(3)} ${line}`);
  };
  let failure: string | null = null;
  try {
    await suite.play({ seconds, seed, signal: interrupted.signal, onRound });
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    if (error instanceof LabError && error.code === 'LAB_NOT_ROOT') {
      console.error(`The suite could not run: ${failure}`);
      return 3;
    }
    console.error(`A promise was broken in round ${rounds.length + 1} of seed ${seed}: ${failure}`);
  }
  if (jsonFile) writeFileSync(jsonFile, `${JSON.stringify({ suite: name, seed, rounds, failure }, null, 2)}\n`);
  if (failure !== null) return 1;
  if (interrupted.signal.aborted) return 130;
  console.log(`${rounds.length} rounds, every promise held.`);
  return 0;
}

process.exitCode = await main();
