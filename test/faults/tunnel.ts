/**
 * The path of the tunnel fails in every way that a network knows, all the time, while a VM migrates to and fro: middle boxes at both ends
 * reset, hold, lose, slow down and corrupt single connections; the line loses packets and is cut. None of it lasts for longer than the
 * grace time, so that none of it may fail a migration.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LabMachine, SiteName } from '../lab/src/index.ts';
import { endpointId, siteId } from '../support/two-sites.ts';
import { type WatchedVm, World } from '../support/world.ts';
import { Random } from './random.ts';
import { type Suite, type SuiteOptions, seconds } from './suite.ts';

const LINK = { rateMbit: 1_000, rttMs: 40, lossPct: 0 };
/** Slow enough that a migration meets many faults. */
const BANDWIDTH_BYTES_PER_SEC = 24 << 20;
const PORTS = { min: 7_400, max: 7_403 };
/** Where the gateway really listens; the box has its address. */
const BEHIND_THE_BOX = '127.0.0.1';
/** Of each transfer; a guest that writes all the while needs a network that works now and then to get away. */
const HARMED_FOR_MS = 40_000;
const TEARDOWN_WITHIN_MS = 90_000;

export const tunnel: Suite = {
  about: `Connections of the tunnel are reset, held, lost, slowed down and corrupted by boxes in the path; the line loses 1 to 5 %
           and is cut for up to 12 s. Every migration succeeds, the guest finds all of its memory, and never runs twice.`,
  play,
};

class MiddleBox {
  readonly #child: ChildProcess;
  private constructor(child: ChildProcess) {
    this.#child = child;
  }
  static async start({ netns, dataAddress }: LabMachine): Promise<MiddleBox> {
    const program = fileURLToPath(new URL('middle-box.ts', import.meta.url));
    const ports = [String(PORTS.min), String(PORTS.max)];
    const node = [process.execPath, program, dataAddress, BEHIND_THE_BOX, ...ports];
    const child = spawn('ip', ['netns', 'exec', netns, ...node], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [said] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
    assert.match(String(said), /^ready/, 'the middle box does not start');
    return new MiddleBox(child);
  }
  say(command: string): void {
    this.#child.stdin?.write(`${command}\n`);
  }
  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exited;
  }
}

interface Harm {
  readonly name: string;
  /** How often it is chosen. */
  readonly weight: number;
  strike(world: World, box: MiddleBox, random: Random): Promise<void> | void;
}

const HARMS: readonly Harm[] = [
  { name: 'reset', weight: 5, strike: (_, box, random) => box.say(`reset ${random.next()}`) },
  { name: 'corrupted', weight: 5, strike: (_, box, random) => box.say(`flip ${random.next()}`) },
  { name: 'lost', weight: 3, strike: (_, box, random) => box.say(`lose ${random.next()}`) },
  {
    name: 'held',
    weight: 3,
    strike: (_, box, random) => box.say(`hold ${random.next()} ${random.between(100, 8_000)}`),
  },
  { name: 'slow', weight: 2, strike: (_, box, random) => box.say(`slow ${random.next()} 20000`) },
  {
    name: 'loss',
    weight: 2,
    async strike(world, _, random) {
      await world.lab.setLink({ ...LINK, lossPct: random.between(1, 5) });
      await delay(random.between(500, 3_000));
      await world.lab.setLink(LINK);
    },
  },
  {
    name: 'cut',
    weight: 1,
    async strike(world, _, random) {
      await world.lab.outage(random.between(100, 12_000), random.pick(['ab', 'ba', 'both'] as const));
    },
  },
];
const CHOICES = HARMS.flatMap((harm) => Array<Harm>(harm.weight).fill(harm));

async function play(options: SuiteOptions): Promise<void> {
  const random = new Random(options.seed);
  const boxes: MiddleBox[] = [];
  const world = await World.up({ name: 'ftunnel', ...LINK }, async ({ sites }) => {
    for (const { gatewayHost } of [sites.a, sites.b]) boxes.push(await MiddleBox.start(gatewayHost));
  });
  let vm: WatchedVm | undefined;
  try {
    for (const site of ['a', 'b'] as const) await putBoxBefore(world, site);
    vm = await world.startVm({
      name: 'ftunnel',
      memoryMib: 256,
      fillMib: 220,
      workingSetMib: 32,
      dirtyPagesPerSec: 500,
    });
    const deadline = performance.now() + options.seconds * 1_000;
    let from: SiteName = 'a';
    while (performance.now() < deadline && !options.signal.aborted) {
      const round = await playRound(world, vm, boxes, from, random);
      from = from === 'a' ? 'b' : 'a';
      options.onRound(line(round), round);
    }
  } catch (error) {
    console.error(`${await world.describeTrouble()}\n`);
    throw error;
  } finally {
    vm?.endWatch();
    for (const box of boxes) await box.end();
    await world.down();
  }
}

/** Sites and endpoints as before, but with the box where the other side expects the gateway. */
async function putBoxBefore(world: World, site: SiteName): Promise<void> {
  const { gateway, createdAt: _, ...plain } = await world.client.getSite(siteId(site));
  assert.ok(gateway);
  await world.client.createSite({
    ...plain,
    id: `${siteId(site)}-boxed`,
    gateway: { ...gateway, listenAddress: BEHIND_THE_BOX, tunnelPorts: PORTS },
  });
  const { plugin, credential, config } = await world.client.getEndpoint(endpointId(site));
  await world.client.createEndpoint({ id: boxed(site), site: `${siteId(site)}-boxed`, plugin, credential, config });
}
const boxed = (site: SiteName): string => `${endpointId(site)}-boxed`;

interface RoundReport {
  readonly harms: Readonly<Record<string, number>>;
  readonly foundAt: SiteName;
  readonly durationMs: number;
  readonly subflowsReplaced: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly downtimeMs: number | null;
}

async function playRound(
  world: World,
  vm: WatchedVm,
  boxes: readonly MiddleBox[],
  from: SiteName,
  random: Random,
): Promise<RoundReport> {
  const to: SiteName = from === 'a' ? 'b' : 'a';
  const startedAt = performance.now();
  const { id } = await world.migrate(vm, {
    source: boxed(from),
    destination: boxed(to),
    bandwidthBytesPerSec: BANDWIDTH_BYTES_PER_SEC,
  });
  assert.ok(await world.reaches(id, 'performing'), 'it ended before it began');
  const over = new AbortController();
  const ending = world.end(id).finally(() => over.abort());
  ending.catch(() => undefined); // Said where it is awaited: the harm has to be over before anything is taken down.
  const harms = await harm(world, boxes, random, over.signal);
  await world.lab.outage('off');
  await world.lab.setLink(LINK);
  const migration = await ending;
  const record = JSON.stringify([migration.phase, migration.where, migration.error, migration.tunnel, harms]);
  assert.equal(migration.phase, 'succeeded', `a network that came back failed a migration: ${record}`);
  assert.equal(migration.where, 'destination', record);
  await vm.assertLivesAt(to);
  assert.deepEqual(await world.leftovers([vm], TEARDOWN_WITHIN_MS), [], 'something was left over');
  return {
    harms,
    foundAt: to,
    durationMs: performance.now() - startedAt,
    subflowsReplaced: migration.tunnel?.subflowsReplaced ?? 0,
    refusals: migration.tunnel?.refusals ?? {},
    downtimeMs: vm.seen.downtimeMs ?? null,
  };
}

/** Harms, one after the other, for a while or until `signal` is aborted. @returns how often each */
async function harm(
  world: World,
  boxes: readonly MiddleBox[],
  random: Random,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const harms: Record<string, number> = {};
  const deadline = performance.now() + HARMED_FOR_MS;
  while (performance.now() < deadline) {
    await delay(random.between(100, 1_500));
    if (signal.aborted) break;
    const chosen = random.pick(CHOICES);
    harms[chosen.name] = (harms[chosen.name] ?? 0) + 1;
    await chosen.strike(world, random.pick(boxes), random);
  }
  return harms;
}

function line({ harms, foundAt, durationMs, subflowsReplaced }: RoundReport): string {
  const list = Object.entries(harms).map(([name, times]) => `${times} ${name}`);
  return `${seconds(durationMs)}  VM verified at ${foundAt.toUpperCase()}, ${subflowsReplaced} subflows replaced  ← ${list.join(', ')}`;
}
