/**
 * The path of the tunnel fails in every way that a network knows, all the time, while a VM migrates to and fro: middle boxes at both ends
 * reset, hold, lose, slow down and corrupt single connections; the line loses packets and is cut. None of it lasts for longer than the
 * grace time, so that none of it may fail a migration. The tunnel compresses meanwhile, and part of the guest's memory can be compressed.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabMachine, SiteName } from '../lab/src/index.ts';
import { endpointId, siteId } from '../support/two-sites.ts';
import { type WatchedVm, World } from '../support/world.ts';
import { MiddleBox } from './middle-box-process.ts';
import { Random } from './random.ts';
import { type Suite, type SuiteOptions, seconds } from './suite.ts';

const LINK = { rateMbit: 1_000, rttMs: 40, lossPct: 0 };
/** Slow enough that a migration meets many faults. */
const BANDWIDTH_BYTES_PER_SEC = 16 << 20;
const PORTS = { min: 7_400, max: 7_403 };
/** Where the gateway really listens; the box has its address. */
const BEHIND_THE_BOX = '127.0.0.1';
/** Of each transfer; a guest that writes all the while needs a network that works now and then to get away. */
const HARMED_FOR_MS = 40_000;
const TEARDOWN_WITHIN_MS = 90_000;

export const tunnel: Suite = {
  about: `Connections of the tunnel are reset, held, lost, slowed down and corrupted by boxes in the path; the line loses 1 to 5 %
           and is cut for up to 12 s; the tunnel compresses. Every migration succeeds, the guest finds all of its memory, and
           never runs twice.`,
  play,
};

interface Harm {
  readonly name: string;
  readonly to: 'connection' | 'line';
  /** How often it is chosen. */
  readonly weight: number;
  /** @returns whether there was anything that it hit */
  strike(world: World, box: MiddleBox, random: Random): Promise<boolean>;
}

const HARMS: readonly Harm[] = [
  { name: 'reset', to: 'connection', weight: 5, strike: (_, box, random) => box.hits(`reset ${random.next()}`) },
  { name: 'corrupted', to: 'connection', weight: 5, strike: (_, box, random) => box.hits(`flip ${random.next()}`) },
  { name: 'lost', to: 'connection', weight: 3, strike: (_, box, random) => box.hits(`lose ${random.next()}`) },
  {
    name: 'held',
    to: 'connection',
    weight: 3,
    strike: (_, box, random) => box.hits(`hold ${random.next()} ${random.between(100, 8_000)}`),
  },
  { name: 'slow', to: 'connection', weight: 2, strike: (_, box, random) => box.hits(`slow ${random.next()} 20000`) },
  {
    name: 'loss',
    to: 'line',
    weight: 2,
    async strike(world, _, random) {
      await world.lab.setLink({ ...LINK, lossPct: random.between(1, 5) });
      await delay(random.between(500, 3_000));
      await world.lab.setLink(LINK);
      return true;
    },
  },
  {
    name: 'cut',
    to: 'line',
    weight: 1,
    async strike(world, _, random) {
      await world.lab.outage(random.between(100, 12_000), random.pick(['ab', 'ba', 'both'] as const));
      return true;
    },
  },
];
const CHOICES = HARMS.flatMap((harm) => Array<Harm>(harm.weight).fill(harm));

async function play(options: SuiteOptions): Promise<void> {
  const random = new Random(options.seed);
  const boxes = new Map<SiteName, MiddleBox>();
  const world = await World.up({ name: 'ftunnel', ...LINK }, async ({ sites }) => {
    for (const site of ['a', 'b'] as const) boxes.set(site, await startBoxBefore(sites[site].gatewayHost));
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
      compressiblePercent: 30,
    });
    const deadline = performance.now() + options.seconds * 1_000;
    let from: SiteName = 'a';
    while (performance.now() < deadline && !options.signal.aborted) {
      const to: SiteName = from === 'a' ? 'b' : 'a';
      // The destination's gateway listens, so that all of the tunnel goes through the box before it.
      const box = boxes.get(to);
      assert.ok(box);
      const round = await playRound(world, vm, box, { from, to }, random);
      from = to;
      options.onRound(line(round), round);
    }
  } catch (error) {
    console.error(`${await world.describeTrouble()}\n`);
    throw error;
  } finally {
    vm?.endWatch();
    for (const box of boxes.values()) await box.end();
    await world.down();
  }
}

function startBoxBefore({ netns, dataAddress }: LabMachine): Promise<MiddleBox> {
  return MiddleBox.start({ netns, listenAddress: dataAddress, forwardAddress: BEHIND_THE_BOX, ports: PORTS });
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
  /** How often each hit something. */
  readonly harms: Readonly<Record<string, number>>;
  readonly foundAt: SiteName;
  readonly durationMs: number;
  readonly subflowsReplaced: number;
  /** The most that was seen. */
  readonly compressionRatio: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly downtimeMs: number | null;
}

async function playRound(
  world: World,
  vm: WatchedVm,
  box: MiddleBox,
  { from, to }: { from: SiteName; to: SiteName },
  random: Random,
): Promise<RoundReport> {
  const startedAt = performance.now();
  const { id } = await world.migrate(vm, {
    source: boxed(from),
    destination: boxed(to),
    bandwidthBytesPerSec: BANDWIDTH_BYTES_PER_SEC,
    tunnel: { compression: 'auto' },
  });
  assert.ok(await world.reaches(id, 'performing'), 'it ended before it began');
  const over = new AbortController();
  let compressionRatio = 1;
  const ending = world
    .end(id, ({ tunnel }) => {
      compressionRatio = Math.max(compressionRatio, tunnel?.now?.compressionRatio ?? 1);
    })
    .finally(() => over.abort());
  ending.catch(() => undefined); // Said where it is awaited: the harm has to be over before anything is taken down.
  const harms = await harm(world, box, random, over.signal);
  await world.lab.outage('off');
  await world.lab.setLink(LINK);
  const migration = await ending;
  const record = JSON.stringify([migration.phase, migration.where, migration.error, migration.tunnel, harms]);
  assert.equal(migration.phase, 'succeeded', `a network that came back failed a migration: ${record}`);
  assert.equal(migration.where, 'destination', record);
  await vm.assertLivesAt(to);
  const struck = HARMS.filter(({ name }) => name in harms);
  assert.ok(
    struck.some(({ to: what }) => what === 'connection'),
    `no connection was ever hit: ${record}`,
  );
  assert.ok(compressionRatio > 1, `nothing was compressed: ${record}`);
  assert.deepEqual(await world.leftovers([vm], TEARDOWN_WITHIN_MS), [], 'something was left over');
  return {
    harms,
    foundAt: to,
    durationMs: performance.now() - startedAt,
    subflowsReplaced: migration.tunnel?.subflowsReplaced ?? 0,
    compressionRatio,
    refusals: migration.tunnel?.refusals ?? {},
    downtimeMs: vm.seen.downtimeMs ?? null,
  };
}

/** Harms, one after the other, for a while or until `signal` is aborted. @returns how often each hit something */
async function harm(
  world: World,
  box: MiddleBox,
  random: Random,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const harms: Record<string, number> = {};
  const deadline = performance.now() + HARMED_FOR_MS;
  while (performance.now() < deadline) {
    await delay(random.between(100, 1_500));
    if (signal.aborted) break;
    const chosen = random.pick(CHOICES);
    if (await chosen.strike(world, box, random)) harms[chosen.name] = (harms[chosen.name] ?? 0) + 1;
  }
  return harms;
}

function line({ harms, foundAt, durationMs, subflowsReplaced }: RoundReport): string {
  const list = Object.entries(harms).map(([name, times]) => `${times} ${name}`);
  return `${seconds(durationMs)}  VM verified at ${foundAt.toUpperCase()}, ${subflowsReplaced} subflows replaced  ← ${list.join(', ')}`;
}
