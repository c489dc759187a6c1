/**
 * `npm run demo`: the main job, from nothing to a table. A lab with two sites, a real orchestrator, a VM that writes to
 * its memory all the time, and the same migration twice: without LMAS, from host to host, and through it.
 *
 * Everything it starts is taken down again on every way out, unless `--keep` was given; then `--down` does it.
 */
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Migration } from '@lmas/client';
import { assertRoot, type Lab, LabError, labUp, openLab } from '../lab/src/index.ts';
import { type MeasuredMigration, measureMigration } from '../support/measured-migration.ts';
import { OrchestratorProcess } from '../support/orchestrator.ts';
import { ProgressLine } from '../support/progress-line.ts';
import { leftoversSince, takeTraces } from '../support/traces.ts';
import { endpointId, registerLab, siteId } from '../support/two-sites.ts';
import { allGood, type DemoResult, renderJson, renderTable, writeFailure } from './demo-report.ts';
import {
  claimStand,
  DemoRunsError,
  isStanding,
  LAB_NAME,
  recallOrchestrator,
  releaseStand,
  rememberOrchestrator,
  takeDown,
} from './demo-stand.ts';

const VM_NAME = 'shop';
/** Of the link, through LMAS, on two processors that nobody else uses. */
const USUAL_SHARE = 0.85;

const HELP = `Usage: npm run demo -- [options]

Moves a running VM from site A to site B, twice: without LMAS, from host to host, and through LMAS; then compares.
Two sites with real libvirt hosts are built in network namespaces of this machine. Needs root and Debian.

  --rate MBIT      rate of the link between the sites (default 1000)
  --rtt MS         its round trip (default 100)
  --loss PERCENT   packets lost in each direction (default 0)
  --memory MIB     incompressible memory of the VM (default 1024, which is also the least)
  --dirty PAGES    4 KiB pages that the guest rewrites each second (default 2500)
  --json FILE      write the result as JSON, too; without a result {error}
  --yes            install what is missing without asking
  --keep           leave everything up at the end, and say how to play with it
  --down           take down what an earlier --keep left up
  --help           show this

Exit code: 0 both migrations succeeded, memory verified, nothing left over; 1 not so; 2 wrong usage; 3 something has to be
installed by hand first; 130 interrupted.`;

interface DemoOptions {
  readonly rateMbit: number;
  readonly rttMs: number;
  readonly lossPct: number;
  readonly memoryMib: number;
  readonly dirtyPagesPerSec: number;
  readonly jsonFile: string | undefined;
  readonly keep: boolean;
  readonly down: boolean;
}

class UsageError extends Error {}

function readOptions(args: string[]): DemoOptions | 'help' {
  const { values } = parse(args);
  if (values.help) return 'help';
  return {
    rateMbit: numberBetween('--rate', values.rate, 1, 10_000),
    rttMs: numberBetween('--rtt', values.rtt, 0, 1_000),
    lossPct: numberBetween('--loss', values.loss, 0, 20),
    memoryMib: numberBetween('--memory', values.memory, 1_024, 8_192),
    dirtyPagesPerSec: numberBetween('--dirty', values.dirty, 0, 50_000),
    jsonFile: values.json === undefined ? undefined : writable(values.json),
    keep: values.keep,
    down: values.down,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        rate: { type: 'string', default: '1000' },
        rtt: { type: 'string', default: '100' },
        loss: { type: 'string', default: '0' },
        memory: { type: 'string', default: '1024' },
        dirty: { type: 'string', default: '2500' },
        json: { type: 'string' },
        yes: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        down: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function numberBetween(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max) return value;
  throw new UsageError(`${option} takes a number from ${min} to ${max}, not "${text}".`);
}

/** Found out before the work and not after it. */
function writable(file: string): string {
  try {
    if (existsSync(file) && statSync(file).isDirectory()) throw new Error('it is a directory');
    accessSync(existsSync(file) ? file : dirname(resolve(file)), constants.W_OK);
    return file;
  } catch (error) {
    throw new UsageError(`--json ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const step = (text: string): void => console.log(`• ${text}`);

async function demo(options: DemoOptions, signal: AbortSignal): Promise<boolean> {
  if (isStanding()) step('Taking down what an earlier demonstration left up …');
  await takeDown();
  step(`Lab: two sites, ${options.rateMbit} Mbit/s, ${options.rttMs} ms round trip, ${options.lossPct} % loss`);
  const lab = await labUp({ ...options, name: LAB_NAME });
  signal.throwIfAborted();
  const before = await takeTraces(lab);
  step('Orchestrator, with a Redis of its own; both sites registered over REST');
  const orchestrator = await OrchestratorProcess.start({
    dataDir: join(lab.stateDir, 'orchestrator'),
    onSpawned: (spawned) => rememberOrchestrator(lab, spawned),
    signal,
  });
  signal.throwIfAborted();
  await registerLab(orchestrator.client(), lab);
  await testLink(orchestrator, signal);

  const direct = await moveOnce(lab, orchestrator, options, 'direct', signal);
  const lmas = await moveOnce(lab, orchestrator, options, 'tunnel', signal);
  const leftovers = await leftoversSince(before, lab, isMovedVm);
  const kind = (await lab.linkStats()).kind;
  const result: DemoResult = {
    link: { rateMbit: options.rateMbit, rttMs: options.rttMs, lossPct: options.lossPct, kind },
    direct,
    lmas,
    ratio: direct.totalMs / lmas.totalMs,
    leftovers,
  };
  console.log(`\n${renderTable(result)}\n`);
  sayIfDisturbed(result);
  if (options.keep) orchestrator.letGo();
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, renderJson(result));
  return allGood(result);
}

/** A share that no idle machine shows is told from what the tunnel can do. */
function sayIfDisturbed({ lmas }: DemoResult): void {
  if (lmas.linkShare >= USUAL_SHARE) return;
  const load = (loadavg()[0] ?? 0).toFixed(1);
  console.log(
    `LMAS usually fills more of such a link. Both sites, the guest and the link share this machine's ${availableParallelism()} processors; its load average is ${load}.\n`,
  );
}

/** As an operator would first of all. It brings the gateway program to both sites, which happens once for each version. */
async function testLink(orchestrator: OrchestratorProcess, signal: AbortSignal): Promise<void> {
  step('Link test between the gateway machines (the gateway program is uploaded now, once)');
  const input = { source: siteId('a'), destination: siteId('b'), durationMs: 2_000 };
  const { rttMinMs, goodputBitsPerSec } = await orchestrator.client().testLink(input, { signal });
  const rate = goodputBitsPerSec === null ? 'unknown' : `${(goodputBitsPerSec / 1e6).toFixed(0)} Mbit/s`;
  console.log(`    round trip ${rttMinMs.toFixed(1)} ms, ${rate}`);
}

/** Both runs begin with the same VM, freshly started at site A. */
async function moveOnce(
  lab: Lab,
  orchestrator: OrchestratorProcess,
  options: DemoOptions,
  transport: 'direct' | 'tunnel',
  signal: AbortSignal,
): Promise<MeasuredMigration> {
  step(
    `VM "${VM_NAME}": ${options.memoryMib} MiB of incompressible memory, ${options.dirtyPagesPerSec} pages rewritten each second`,
  );
  await lab.vm.remove(VM_NAME);
  const { uuid } = await lab.vm.define({
    name: VM_NAME,
    memoryMib: options.memoryMib + 64,
    fillMib: options.memoryMib,
    workingSetMib: 64,
    dirtyPagesPerSec: options.dirtyPagesPerSec,
  });
  await lab.vm.start('a', VM_NAME, { signal });
  signal.throwIfAborted();
  step(transport === 'direct' ? 'Moving it without LMAS …' : 'Moving it through LMAS …');
  const line = new ProgressLine(process.stdout, { linkBitsPerSec: options.rateMbit * 1e6 });
  try {
    const vm = { name: VM_NAME, uuid };
    const client = orchestrator.client();
    const measured = await measureMigration({
      lab,
      client,
      vm,
      request: { transport },
      signal,
      onProgress: (migration) => line.show(migration),
    });
    line.end();
    sayHowItEnded(measured.migration);
    return measured;
  } finally {
    line.end();
  }
}

function sayHowItEnded({ phase, error, where, byHand }: Migration): void {
  step(`  ${phase}; the VM is at the ${where}`);
  if (error) console.log(`    ${error.code}: ${error.message}${error.remedy ? `\n    ${error.remedy}` : ''}`);
  if (byHand) console.log(`    By hand: ${byHand}`);
}

/** The VM at site B is what a migration leaves on purpose. */
function isMovedVm(line: string): boolean {
  return line.startsWith('host-b: ') && line.includes(VM_NAME);
}

async function sayHowToPlay(): Promise<void> {
  const lab = await openLab(LAB_NAME);
  const orchestrator = recallOrchestrator(lab);
  if (!orchestrator) return;
  console.log(`Everything is still up. To play with it:

  export LMAS_URL=${orchestrator.url} LMAS_API_KEY_FILE=${orchestrator.apiKeyFile}
  npx lmas list
  npx lmas vm list ${endpointId('b')}
  npx lmas migrate ${VM_NAME} --from ${endpointId('b')} --to ${endpointId('a')} --watch
  npx lmas link test site-a site-b
  npm run lab -- status --name ${LAB_NAME}
  npm run lab -- wan set --loss 0.1 --name ${LAB_NAME}

  npm run demo -- --down        takes it all down
`);
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === 'help') {
    console.log(HELP);
    return 0;
  }
  assertRoot();
  claimStand();
  try {
    return options.down ? sayDown(await takeDown()) : await demoUntilInterrupted(options);
  } finally {
    releaseStand();
  }
}

async function demoUntilInterrupted(options: DemoOptions): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => {
    if (!interrupted.signal.aborted) console.log('\nInterrupted; taking everything down …');
    interrupted.abort(new Error('interrupted'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  // Whoever was reading has gone (`| head`): what was built goes, too.
  for (const output of [process.stdout, process.stderr]) output.on('error', interrupt);
  let good = false;
  let finished = false;
  try {
    good = await demo(options, interrupted.signal);
    finished = true;
  } catch (error) {
    const reason = interrupted.signal.aborted ? interrupted.signal.reason : error;
    if (options.jsonFile !== undefined) writeFailure(options.jsonFile, reason, console.error);
    if (!interrupted.signal.aborted) throw error;
  } finally {
    if (options.keep && finished) await sayHowToPlay();
    else if (sayDown(await takeDown()) !== 0) good = false;
  }
  if (interrupted.signal.aborted) return 130;
  return good ? 0 : 1;
}

function sayDown(leftovers: readonly string[]): number {
  if (leftovers.length === 0) {
    step('Everything is taken down.');
    return 0;
  }
  console.log(['This could not be taken down:', ...leftovers].join('\n  '));
  return 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\nTry: npm run demo -- --help`);
  else console.error(error instanceof DemoRunsError || error instanceof LabError ? error.message : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
