/**
 * `npm run bench -- NAME`: measures LMAS and the alternatives in one run, on the same link with the same load.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { benchTunnel, FULL, QUICK, type Row } from './tunnel.ts';

const HELP = `Usage: npm run bench -- tunnel [options]

Measures a gateway pair and the alternatives on one emulated link: direct TCP as hypervisors use it, and ssh -L. Prints
for each cell of the plan goodput, share of the link, CPU seconds per GB of both ends together, and ratios.
Absolute times prove little on a shared machine; compare within one run.

  --quick        the corner cells only, a few minutes; without it about an hour
  --seconds N    how long each measurement takes
  --json FILE    write the rows as JSON
  --yes          install what is missing without asking
  --help         show this

Exit code: 0 measured; 1 failed; 2 wrong usage; 130 interrupted.`;

function readOptions() {
  const options = {
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    json: { type: 'string' },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function show(row: Row): void {
  const cell = `${row.rateMbit} Mbit/s ${String(row.rttMs).padStart(3)} ms ${String(row.lossPct).padStart(4)} %`;
  const goodput = `${(row.goodputBitsPerSec / 1e6).toFixed(0)} Mbit/s`.padStart(12);
  const share = `${(row.linkShare * 100).toFixed(0)} %`.padStart(6);
  const cpu = row.cpuSecPerGB === null ? '—' : `${row.cpuSecPerGB.toFixed(1)} s/GB`;
  const rss = `${(row.rssBytes / 1e6).toFixed(0)} MB`;
  console.log(`${cell}   ${row.contender.padEnd(8)} ${goodput} ${share} ${cpu.padStart(10)} ${rss.padStart(8)}`);
}

/** How many times as fast the last contender, LMAS, is as each other one, cell by cell. */
function showRatios(rows: readonly Row[]): void {
  console.log('\nLMAS compared:');
  for (const ours of rows.filter(({ contender }) => contender === 'lmas')) {
    const others = rows.filter((row) => row !== ours && row.rttMs === ours.rttMs && row.lossPct === ours.lossPct);
    const ratios = others.map(
      (row) => `${(ours.goodputBitsPerSec / row.goodputBitsPerSec).toFixed(1)} × ${row.contender}`,
    );
    console.log(`  ${ours.rttMs} ms, ${ours.lossPct} % loss: ${ratios.join(', ')}`);
  }
}

async function main(): Promise<number> {
  const parsed = readOptions();
  if (parsed?.values.help) {
    console.log(HELP);
    return 0;
  }
  const seconds = Number(parsed?.values.seconds ?? 1);
  if (parsed?.positionals.join() !== 'tunnel' || !(seconds >= 1 && seconds <= 600)) {
    console.error(HELP);
    return 2;
  }
  const interrupted = new AbortController();
  process.on('SIGINT', () => interrupted.abort());
  const plan = parsed.values.quick ? QUICK : FULL;
  const chosen = parsed.values.seconds === undefined ? plan : { ...plan, seconds };
  try {
    const rows = await benchTunnel(chosen, show, interrupted.signal);
    showRatios(rows);
    if (parsed.values.json !== undefined) writeFileSync(parsed.values.json, `${JSON.stringify(rows, null, 2)}\n`);
    return 0;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    throw error;
  }
}

process.exitCode = await main();
