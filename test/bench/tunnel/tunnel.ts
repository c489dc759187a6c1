/**
 * The tunnel benchmark: every contender over the same emulated link with the same load, cell by cell, interleaved, so
 * that what the machine does meanwhile hits all of them alike.
 */
import { labDown, labUp } from '../../lab/src/index.ts';
import { type Benchmark, numberOption, readOptions, UsageError } from '../benchmark.ts';
import type { Contender } from '../contenders/contender.ts';
import { CONTENDERS } from '../contenders/index.ts';
import { measure } from './measure.ts';
import { type Measurement, rowsOf } from './measurement.ts';
import { FULL, narrow, type Plan, parseCells, QUICK } from './plan.ts';
import { describeCell, renderTable, tableHead, tableLine } from './report.ts';
import { readMeasurements, writeResults } from './results.ts';

const HELP = `Usage: npm run bench -- tunnel [options]

Measures a gateway pair and the alternatives on one emulated link: goodput, share of the link, the time to 90 % of it,
processor seconds per GB of both ends together, and memory.

  --quick            the corner cells only, five minutes; without it hours
  --cells CELLS      only these: RATE/RTT/LOSS in Mbit/s, ms and percent, separated by commas; rate 0 is unlimited
  --contenders NAMES only these, separated by commas
  --seconds N        how long each measurement takes
  --repeats N        how often everything is measured
  --json FILE        write rows, method and every measurement as JSON
  --append           keep what the file holds already: rows are medians of all of it
  --lab NAME         name of the lab that is built (default bench)
  --help             show this

Contenders:
${CONTENDERS.map(({ name, what }) => `  ${name.padEnd(18)} ${what}`).join('\n')}`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  cells: { type: 'string' },
  contenders: { type: 'string' },
  seconds: { type: 'string' },
  repeats: { type: 'string' },
  json: { type: 'string' },
  append: { type: 'boolean', default: false },
  lab: { type: 'string', default: 'bench' },
} as const;

export const tunnelBenchmark: Benchmark = {
  name: 'tunnel',
  summary: 'a gateway pair and its alternatives on links of many qualities',
  help: HELP,
  async run(args, { signal }) {
    const values = readOptions(args, OPTIONS);
    const plan = narrow(values.quick ? QUICK : FULL, {
      cells: values.cells === undefined ? undefined : parseCells(values.cells),
      contenders: values.contenders === undefined ? undefined : parseContenders(values.contenders),
      seconds: values.seconds === undefined ? undefined : numberOption('--seconds', values.seconds, 1, 600),
      repeats: values.repeats === undefined ? undefined : numberOption('--repeats', values.repeats, 1, 100),
    });
    const file = values.json;
    const measured = file !== undefined && values.append ? readMeasurements(file) : [];
    await measureAll(plan, values.lab, signal, (measurement) => {
      measured.push(measurement);
      if (file !== undefined) writeResults(file, measured); // after each: an interrupted run has not been in vain
    });
    console.log(`\n${renderTable(rowsOf(measured))}`);
    return 0;
  },
};

function parseContenders(text: string): string[] {
  const names = text.split(',');
  for (const name of names) contenderNamed(name);
  return names;
}

/** @throws UsageError */
function contenderNamed(name: string): Contender {
  const found = CONTENDERS.find((contender) => contender.name === name);
  if (!found) {
    throw new UsageError(`There is no contender "${name}". There is: ${CONTENDERS.map((one) => one.name).join(', ')}.`);
  }
  return found;
}

async function measureAll(
  plan: Plan,
  labName: string,
  signal: AbortSignal,
  onMeasurement: (measurement: Measurement) => void,
): Promise<void> {
  const lab = await labUp({ name: labName, signal });
  try {
    console.log(tableHead());
    for (let i = 0; i < plan.repeats; i++) {
      for (const { cell, contenders, seconds } of plan.steps) {
        await lab.setLink(cell);
        console.log(`\n${describeCell(cell)}`);
        for (const name of contenders) {
          signal.throwIfAborted();
          const measurement = await measure(lab, cell, contenderNamed(name), { seconds });
          onMeasurement(measurement);
          for (const row of rowsOf([measurement])) console.log(tableLine(row));
        }
      }
    }
  } finally {
    const { leftovers } = await labDown(labName);
    for (const leftover of leftovers) console.error(`Could not be taken down: ${leftover}`);
  }
}
