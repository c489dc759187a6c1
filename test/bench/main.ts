/**
 * `npm run bench -- NAME`: measures LMAS and the alternatives in one run, on the same link with the same load. A
 * benchmark is one entry of the table below.
 */
import { balancingBenchmark } from './balancing/balancing.ts';
import { type Benchmark, UsageError } from './benchmark.ts';
import { migrationBenchmark } from './migration/migration.ts';
import { orchestratorBenchmark } from './orchestrator/orchestrator.ts';
import { pageCacheBenchmark } from './page-cache/page-cache.ts';
import { tunnelBenchmark } from './tunnel/tunnel.ts';

const BENCHMARKS: readonly Benchmark[] = [
  tunnelBenchmark,
  migrationBenchmark,
  orchestratorBenchmark,
  balancingBenchmark,
  pageCacheBenchmark,
];

const HELP = `Usage: npm run bench -- NAME [options]

${BENCHMARKS.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join('\n')}

  NAME --help    what it measures and its options
  --yes          install what is missing without asking

Absolute times prove little on a shared machine; compare within one run. A measurement that was disturbed is marked so.

Exit code: 0 measured; 1 failed; 2 wrong usage; 3 something has to be installed by hand first; 130 interrupted.`;

async function main([name = '', ...args]: readonly string[]): Promise<number> {
  const benchmark = BENCHMARKS.find((candidate) => candidate.name === name);
  if (!benchmark) {
    const asked = name === '--help' || name === '-h';
    if (name !== '' && !asked) console.error(`There is no benchmark "${name}".\n`);
    (asked ? console.log : console.error)(HELP);
    return asked ? 0 : 2;
  }
  if (args.includes('--help') || args.includes('-h')) {
    console.log(benchmark.help);
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interrupted.abort(new Error(`Ended by ${signal}.`)));
  }
  // Whoever reads the output has gone (`| head`): what stands must be taken down all the same.
  process.stdout.on('error', (error) => interrupted.abort(error));
  try {
    return await benchmark.run(args, { signal: interrupted.signal });
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\nTry: npm run bench -- ${name} --help`);
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
