/**
 * Would a page cache in the gateway pay? Pre-copy sends pages again, so the far end has a former version of many. Real migration streams of QEMU
 * are recorded, and each is "sent" in several ways: compressed as the gateway does, with caches of several sizes and kinds, with QEMU's own.
 * Bytes are exact for a recording; processor time is that of this process.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Benchmark, numberOption, readOptions, UsageError } from '../benchmark.ts';
import { describeMachine } from '../report/machine.ts';
import { markdownTable, textTable } from '../report/table.ts';
import { LOADS, type Load } from './guests/loads.ts';
import { type Recording, record } from './recording/record.ts';
import { costsTable, type LoadResult, METHOD, ratesTable, type SenderRow, streamsTable } from './report.ts';
import { costsOf } from './senders/costs.ts';
import { cutAt, recording, SENDERS, type Source, visit } from './senders/senders.ts';
import { type Contents, ContentsReader } from './stream/contents.ts';

const HELP = `Usage: npm run bench -- page-cache [options]

Records migrations of guests at work, sent by QEMU at a limited rate so that pages go again, and counts what of each stream would be left on
the link: compressed as the gateway does, with page caches, with QEMU's own. Needs 3 GB of memory and of disk for a while.

  --quick          20 seconds of each guest, one size of cache; without it 45 seconds, and 64, 256 and 1024 MiB
  --seconds N      how long pass may follow pass
  --rate N         MB/s at which QEMU sends (default 16)
  --loads NAMES    only these, separated by commas
  --json FILE      write the rows and the method as JSON
  --markdown       print the tables as Markdown
  --help           show this

Guests:
${LOADS.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join('\n')}

Ways:
${SENDERS.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join('\n')}`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  seconds: { type: 'string' },
  rate: { type: 'string', default: '16' },
  loads: { type: 'string' },
  json: { type: 'string' },
  markdown: { type: 'boolean', default: false },
} as const;

const MIB = 1 << 20;
/** Of QEMU's own cache, in the recording that is made with it. */
const XBZRLE_BYTES = 256 * MIB;

interface Plan {
  readonly seconds: number;
  readonly bytesPerSec: number;
  readonly cacheBytes: readonly number[];
}

export const pageCacheBenchmark: Benchmark = {
  name: 'page-cache',
  summary: 'what a page cache in the gateway would save of real migration streams',
  help: HELP,
  async run(args, { signal }) {
    const options = readOptions(args, OPTIONS);
    const seconds = options.quick ? 20 : 45;
    const plan: Plan = {
      seconds: options.seconds === undefined ? seconds : numberOption('--seconds', options.seconds, 1, 600),
      bytesPerSec: numberOption('--rate', options.rate, 1, 10_000) * 1e6,
      cacheBytes: options.quick ? [1_024 * MIB] : [64 * MIB, 256 * MIB, 1_024 * MIB],
    };
    const loads = options.loads === undefined ? LOADS : options.loads.split(',').map(loadNamed);
    const results: LoadResult[] = [];
    for (const load of loads) {
      results.push(await measure(load, plan, signal));
      if (options.json !== undefined) writeFileSync(options.json, asJson(plan, results));
    }
    const print = options.markdown ? markdownTable : textTable;
    console.log(`\n${print(streamsTable(results))}\n\n${print(ratesTable(results))}\n\n${print(costsTable(results))}`);
    return 0;
  },
};

const asJson = (plan: Plan, results: readonly LoadResult[]): string =>
  `${JSON.stringify({ method: METHOD, machine: describeMachine(), plan, results }, null, 2)}\n`;

/** @throws UsageError */
function loadNamed(name: string): Load {
  const found = LOADS.find((load) => load.name === name);
  if (!found)
    throw new UsageError(`There is no guest "${name}". There is: ${LOADS.map((one) => one.name).join(', ')}.`);
  return found;
}

/** Everything about one guest, in a directory that is gone afterwards. */
async function measure(load: Load, plan: Plan, signal: AbortSignal): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-bench-'));
  try {
    console.log(`${load.name}: ${load.what}`);
    const guest = await load.guest(directory, signal);
    const { file, ...withXbzrle } = await record(directory, guest, { ...plan, xbzrleBytes: XBZRLE_BYTES, signal });
    const xbzrle = { ...withXbzrle, streamBytes: statSync(file).size };
    const taken = await record(directory, guest, { ...plan, xbzrleBytes: null, signal });
    return { xbzrle, ...(await analyse(load.name, taken, plan.cacheBytes, signal)) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function analyse(
  load: string,
  { file, ...taken }: Recording,
  cacheBytes: readonly number[],
  signal: AbortSignal,
): Promise<Omit<LoadResult, 'xbzrle'>> {
  const source = recording(file);
  const contents = await contentsOf(source, signal);
  const rows: SenderRow[] = [];
  for (const sender of SENDERS) {
    for (const bytes of sender.hasCache ? cacheBytes : [0]) {
      const sent = await sender.send(cutAt(source, contents.againFrom), bytes, contents.againFrom, signal);
      const { firstBytes, againBytes } = sent;
      rows.push({ sender: sender.name, cacheBytes: sender.hasCache ? bytes : null, firstBytes, againBytes });
      const cache = sender.hasCache ? `, ${bytes / MIB} MiB` : '';
      console.log(`  ${sender.name}${cache}: ${((firstBytes + againBytes) / 1e6).toFixed(0)} MB`);
    }
  }
  return { load, ...taken, contents, rows, costs: await costsOf(source, signal) };
}

async function contentsOf(source: Source, signal: AbortSignal): Promise<Contents> {
  const reader = new ContentsReader();
  try {
    await visit(source, reader, signal);
    return reader.contents;
  } finally {
    reader.free();
  }
}
