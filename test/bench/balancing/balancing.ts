/**
 * What balancing does and how well hosts fare with it, over days of synthetic load that is the same for the same seed: the
 * engine with its defaults, nobody, and a greedy balancer without hysteresis. Nothing is migrated and no time is measured, so
 * the numbers are the same on every machine.
 */
import { writeFileSync } from 'node:fs';
import {
  engine,
  greedy,
  nobody,
  type SimulationResult,
  simulate,
  simulatedPolicy,
} from '../../../apps/orchestrator/src/balancing/testing/simulation.ts';
import { type Benchmark, numberOption, readOptions } from '../benchmark.ts';
import { textTable } from '../report/table.ts';

const HELP = `Usage: npm run bench -- balancing [options]

Eight hosts of 32 cores with 96 VMs whose use goes up and down with the day, wanders and bursts; a pass every five minutes.
Who balances is compared: nobody, the engine with its defaults, a greedy balancer without hysteresis, cool-down or cost.

  --days N       how long (default 7)
  --seeds N      how many worlds, seeds 1 to N (default 3)
  --json FILE    write the results as JSON
  --help         show this`;

const OPTIONS = {
  days: { type: 'string', default: '7' },
  seeds: { type: 'string', default: '3' },
  json: { type: 'string' },
} as const;

interface Row extends SimulationResult {
  readonly seed: number;
  readonly balancer: string;
}

export const balancingBenchmark: Benchmark = {
  name: 'balancing',
  summary: 'load balancing over days of synthetic load, against a greedy balancer',
  help: HELP,
  async run(args, { signal }) {
    const options = readOptions(args, OPTIONS);
    const days = numberOption('--days', options.days, 1, 60);
    const seeds = numberOption('--seeds', options.seeds, 1, 100);
    const policy = simulatedPolicy();
    const rows: Row[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const contenders = { nobody, engine: engine(policy), greedy: greedy(policy) };
      for (const [balancer, balance] of Object.entries(contenders)) {
        signal.throwIfAborted();
        rows.push({ seed, balancer, ...simulate(balance, policy, { seed, days }) });
      }
    }
    console.log(
      textTable({
        head: ['seed', 'balancer', 'moves', 'most in an hour', 'returns', 'moved GiB', 'spread', 'too busy'],
        rows: rows.map((row) => [
          ...[String(row.seed), row.balancer, String(row.moves), String(row.worstHour), String(row.returns)],
          ...[String(Math.round(row.movedBytes / 2 ** 30)), `${row.spreadPoints.toFixed(1)} points`],
          `${row.tooBusyPct.toFixed(2)} %`,
        ]),
        names: 2,
      }),
    );
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ days, rows }, null, 2)}\n`);
    return 0;
  },
};
