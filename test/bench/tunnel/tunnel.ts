/**
 * The tunnel benchmark: every contender over the same emulated link with the same load, cell by cell, interleaved, so
 * that what the machine does meanwhile hits all of them alike; then the smaller parts, each a question of its own.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lab, labDown, labUp } from '../../lab/src/index.ts';
import { type Benchmark, numberOption, readOptions, UsageError } from '../benchmark.ts';
import type { Contender } from '../contenders/contender.ts';
import { CONTENDERS } from '../contenders/index.ts';
import { keepPriority } from '../machine/priority.ts';
import { sampleLine, sampleTable, summarize } from '../report/sample.ts';
import { markdownTable, type Table, textTable } from '../report/table.ts';
import { compression } from './compression.ts';
import { fairness } from './fairness.ts';
import { latency } from './latency.ts';
import { lifecycle } from './lifecycle.ts';
import { memory } from './memory.ts';
import type { Part, PartOptions } from './part.ts';
import { type Results, readResults, writeResults } from './results.ts';
import { measure } from './throughput/measure.ts';
import { rowsOf } from './throughput/measurement.ts';
import { FULL, narrow, type Plan, parseCells, QUICK } from './throughput/plan.ts';
import { throughputPlots } from './throughput/plots.ts';
import { describeCell, measurementLine, renderThroughput } from './throughput/report.ts';

const THROUGHPUT = 'throughput';
const PARTS: readonly Part[] = [latency, compression, fairness, memory, lifecycle];
/** In five minutes there is time for the corner cells and for this. */
const QUICK_PARTS = [THROUGHPUT, latency.name];

const list = (entries: readonly { name: string; text: string }[]): string =>
  entries.map(({ name, text }) => `  ${name.padEnd(18)} ${text}`).join('\n');

const HELP = `Usage: npm run bench -- tunnel [options]

Measures a gateway pair and the alternatives on one emulated link: goodput, share of the link, the time to 90 % of it,
processor seconds per GB of both ends together, and memory.

  --quick            the corner cells only, five minutes; without it hours
  --parts NAMES      only these parts, separated by commas
  --cells CELLS      only these: RATE/RTT/LOSS in Mbit/s, ms and percent, separated by commas; rate 0 is unlimited
  --contenders NAMES only these, separated by commas
  --seconds N        how long each measurement takes
  --repeats N        how often everything is measured
  --json FILE        write rows, method and every measurement as JSON
  --svg DIR          write plots
  --append           keep what the file holds already: rows are medians of all of it
  --report           measure nothing; show what --json FILE holds, as Markdown
  --lab NAME         name of the lab that is built (default bench)
  --help             show this

Cells, contenders and seconds are those of the throughput, and naming cells or contenders leaves the other parts out;
the cells of latency and compression can be chosen too, with --parts, and the contenders of latency.

Parts:
${list([{ name: THROUGHPUT, text: 'Every contender in every cell' }, ...PARTS.map(({ name, title }) => ({ name, text: title }))])}

Contenders:
${list(CONTENDERS.map(({ name, what }) => ({ name, text: what })))}`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  parts: { type: 'string' },
  cells: { type: 'string' },
  contenders: { type: 'string' },
  seconds: { type: 'string' },
  repeats: { type: 'string' },
  json: { type: 'string' },
  svg: { type: 'string' },
  append: { type: 'boolean', default: false },
  report: { type: 'boolean', default: false },
  lab: { type: 'string', default: 'bench' },
} as const;

type Options = ReturnType<typeof readOptions<typeof OPTIONS>>;

export const tunnelBenchmark: Benchmark = {
  name: 'tunnel',
  summary: 'a gateway pair and its alternatives on links of many qualities',
  help: HELP,
  async run(args, { signal }) {
    const options = readOptions(args, OPTIONS);
    const { json: file, svg: plotDirectory, report } = options;
    if (report && file === undefined) throw new UsageError('--report needs --json FILE.');
    const kept = file !== undefined && (options.append || report);
    const results = kept ? readResults(file) : { measurements: [], parts: {} };
    if (!report) await measureAll(options, results, signal);
    console.log(`\n${renderResults(results, report ? markdownTable : textTable)}`);
    if (plotDirectory !== undefined) writePlots(plotDirectory, results);
    return 0;
  },
};

async function measureAll(options: Options, results: Results, signal: AbortSignal): Promise<void> {
  keepPriority(process.pid); // of what it starts within its own session
  const chosen = chosenOf(options);
  const plan = planOf(options, chosen);
  const parts = partsOf(options);
  // After each measurement: an interrupted run has not been in vain.
  const save = (): void => {
    if (options.json !== undefined) writeResults(options.json, results, PARTS);
  };
  const lab = await labUp({ name: options.lab, signal });
  try {
    for (let i = 0; i < plan.repeats; i++) {
      if (parts.includes(THROUGHPUT)) await measureThroughput(lab, plan, results, save, signal);
      for (const part of PARTS) {
        if (parts.includes(part.name))
          await measurePart(lab, part, { quick: options.quick, ...chosen, signal }, results, save);
      }
    }
  } finally {
    const { leftovers } = await labDown(options.lab);
    for (const leftover of leftovers) console.error(`Could not be taken down: ${leftover}`);
  }
}

function writePlots(directory: string, { measurements }: Results): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, svg] of throughputPlots(rowsOf(measurements))) writeFileSync(join(directory, name), svg);
}

type Chosen = Pick<PartOptions, 'cells' | 'contenders'>;

/** @throws UsageError */
function chosenOf({ cells, contenders }: Options): Chosen {
  return {
    cells: cells === undefined ? undefined : parseCells(cells),
    contenders:
      contenders === undefined ? undefined : parseNames('contender', contenders, CONTENDERS).map(contenderNamed),
  };
}

function planOf({ quick, seconds, repeats }: Options, { cells, contenders }: Chosen): Plan {
  return narrow(quick ? QUICK : FULL, {
    cells,
    contenders: contenders?.map(({ name }) => name),
    seconds: seconds === undefined ? undefined : numberOption('--seconds', seconds, 1, 600),
    repeats: repeats === undefined ? undefined : numberOption('--repeats', repeats, 1, 100),
  });
}

function partsOf({ quick, parts, cells, contenders }: Options): readonly string[] {
  const all = [{ name: THROUGHPUT }, ...PARTS];
  if (parts !== undefined) return parseNames('part', parts, all);
  if (cells !== undefined || contenders !== undefined) return [THROUGHPUT];
  return quick ? QUICK_PARTS : all.map(({ name }) => name);
}

/** @throws UsageError */
function parseNames(what: string, text: string, known: readonly { name: string }[]): string[] {
  const names = text.split(',');
  for (const name of names) {
    if (known.some((one) => one.name === name)) continue;
    throw new UsageError(`There is no ${what} "${name}". There is: ${known.map((one) => one.name).join(', ')}.`);
  }
  return names;
}

async function measureThroughput(
  lab: Lab,
  plan: Plan,
  { measurements }: Results,
  save: () => void,
  signal: AbortSignal,
): Promise<void> {
  const pass = new Date().toISOString();
  for (const { cell, contenders, seconds } of plan.steps) {
    await lab.setLink(cell);
    console.log(`\n${describeCell(cell)}`);
    for (const contender of contenders.map(contenderNamed)) {
      signal.throwIfAborted();
      const measurement = await measure(lab, cell, contender, { seconds, pass });
      measurements.push(measurement);
      save();
      console.log(measurementLine(measurement));
    }
  }
}

function contenderNamed(name: string): Contender {
  const found = CONTENDERS.find((contender) => contender.name === name);
  if (!found) throw new RangeError(`No contender is called ${name}.`);
  return found;
}

async function measurePart(
  lab: Lab,
  part: Part,
  options: PartOptions,
  { parts }: Results,
  save: () => void,
): Promise<void> {
  console.log(`\n${part.title} …`);
  for await (const sample of part.measure(lab, options)) {
    parts[part.name] = [...(parts[part.name] ?? []), sample];
    save();
    console.log(sampleLine(sample, part.columns));
  }
}

function renderResults({ measurements, parts }: Results, render: (table: Table) => string): string {
  const blocks = measurements.length > 0 ? [renderThroughput(measurements, render)] : [];
  for (const part of PARTS) {
    const rows = summarize(parts[part.name] ?? []);
    if (rows.length === 0) continue;
    blocks.push(`${part.title}\n\n${render(sampleTable(rows, part.columns))}`);
  }
  const samples = [...measurements, ...Object.values(parts).flat()];
  const disturbed = samples.filter((sample) => sample.disturbed.length > 0).length;
  if (disturbed > 0) blocks.push(`${disturbed} of ${samples.length} measurements were disturbed. * none that was not`);
  return blocks.join('\n\n');
}
