/** The flags of `migrate` and `check`, and the request they make. */
import type { LmasClient, MigrationInput } from '@lmas/client';
import { type Command, Option } from 'commander';
import { type JsonSchema, parseAssignment, parseSettings, parseTextMap } from './assignments.ts';
import { collect } from './command.ts';
import { CliError } from './errors.ts';
import { BANDWIDTH_HELP, DURATION_HELP, parseBandwidth, parseDuration, parseInteger } from './units.ts';

export const CONVERGENCES = ['balanced', 'fast-switchover', 'never-pause', 'must-finish'] as const;

export interface MigrationFlags {
  readonly convergence?: (typeof CONVERGENCES)[number];
  readonly label?: readonly string[];
  readonly correlationId?: string;
  readonly priority?: string;
  readonly from: string;
  readonly to: string;
  readonly direct?: boolean;
  readonly allowCordoned?: boolean;
  readonly option?: readonly string[];
  readonly networkMap?: readonly string[];
  readonly diskMap?: readonly string[];
  readonly mayReplace?: readonly string[];
  readonly maxDowntime?: string;
  readonly bandwidth?: string;
  readonly subflows?: string;
  readonly compression?: NonNullable<NonNullable<MigrationInput['tunnel']>['compression']>;
  readonly suite?: NonNullable<NonNullable<MigrationInput['tunnel']>['suite']>;
  readonly timeout?: readonly string[];
  readonly retries?: string;
  readonly retryPause?: string;
}

type Timeouts = NonNullable<MigrationInput['timeouts']>;
const TIMEOUTS: Readonly<Record<string, keyof Timeouts>> = {
  queue: 'queueMs',
  checking: 'checkingMs',
  provisioning: 'provisioningMs',
  preparing: 'preparingMs',
  'no-progress': 'noProgressMs',
  total: 'totalMs',
};

export function addMigrationFlags(command: Command): Command {
  return command
    .argument('<vm>', 'id or name of the VM at the source')
    .optionsGroup('Where and how:')
    .requiredOption('--from <endpoint>', 'endpoint where the VM runs (required)')
    .requiredOption('--to <endpoint>', 'endpoint where it is to run (required)')
    .option(
      '--network-map <source=destination>',
      'connect this source network to that destination network (repeatable)',
      collect,
    )
    .option(
      '--disk-map <disk=location>',
      'put this disk there at the destination, e.g. vda=/srv/vm/web-1.qcow2 (repeatable)',
      collect,
    )
    .option(
      '--may-replace <location>',
      'a disk at the destination that may be written over: what an earlier move of this VM has left there (repeatable)',
      collect,
    )
    .option('--max-downtime <ms>', 'longest pause at the switch-over, in milliseconds (or with a unit: 300ms, 1.5s)')
    .addOption(
      new Option(
        '--convergence <policy>',
        'what matters most if the dirty rate exceeds what the link carries (default: balanced)',
      ).choices(CONVERGENCES),
    )
    .option('--label <name=value>', 'a label of yours, for lists and webhooks (repeatable)', collect)
    .option('--correlation-id <id>', 'your own name for the task')
    .option('--priority <n>', '0 to 100, higher ones start first (default: 50)')
    .option('--bandwidth <rate>', `most that may be used; ${BANDWIDTH_HELP}`)
    .option('--option <key=value>', "an option of the hypervisor's plugin, see lmas plugin get (repeatable)", collect)
    .option(
      '--timeout <stage=time>',
      `give up when a stage takes longer: ${Object.keys(TIMEOUTS).join(', ')}; ${DURATION_HELP} (repeatable)`,
      collect,
    )
    .option('--allow-cordoned', 'also to an endpoint that takes no VMs, see lmas endpoint cordon')
    .option('--retries <n>', 'how often it is tried again after faults that pass, 0 to 20 (default: 2)')
    .option(
      '--retry-pause <time>',
      `the first pause before that, each next one twice as long; ${DURATION_HELP} (default: 10s)`,
    )
    .optionsGroup('Tunnel:')
    .option('--direct', 'from host to host, as without LMAS: no gateways, no tunnel')
    .addOption(
      new Option(
        '--subflows <n>',
        'parallel TCP connections of the tunnel: 1 to 64, limits such as 4-16, or auto (default: auto)',
      ).conflicts('direct'),
    )
    .addOption(
      new Option('--compression <when>', 'whether the tunnel compresses where that pays (default: never)')
        .choices(['auto', 'never'])
        .conflicts('direct'),
    )
    .addOption(
      new Option('--suite <suite>', 'cipher; "none" still authenticates, it only does not hide (default: aes-256-gcm)')
        .choices(['aes-256-gcm', 'chacha20-poly1305', 'none'])
        .conflicts('direct'),
    );
}

/** The request body. What was not asked for is left out, so that the orchestrator's defaults hold. */
export async function migrationInput(
  vm: string,
  flags: MigrationFlags,
  client: () => Promise<LmasClient>,
  { signal }: { signal: AbortSignal },
): Promise<MigrationInput> {
  const tunnel = {
    ...(flags.suite === undefined ? {} : { suite: flags.suite }),
    ...(flags.subflows === undefined ? {} : { subflows: parseSubflows(flags.subflows) }),
    ...(flags.compression === undefined ? {} : { compression: flags.compression }),
  };
  const retries = {
    ...(flags.retries === undefined ? {} : { max: parseInteger(flags.retries, { min: 0, max: 20 }) }),
    ...(flags.retryPause === undefined ? {} : { backOffMs: parseDuration(flags.retryPause) }),
  };
  const input: MigrationInput = {
    vm,
    source: flags.from,
    destination: flags.to,
    ...(flags.direct === true ? { transport: 'direct' as const } : {}),
    ...(flags.allowCordoned === true ? { allowCordoned: true } : {}),
    ...(Object.keys(tunnel).length === 0 ? {} : { tunnel }),
    ...(flags.networkMap === undefined ? {} : { networkMap: parseTextMap(flags.networkMap, '--network-map') }),
    ...(flags.diskMap === undefined ? {} : { diskMap: parseTextMap(flags.diskMap, '--disk-map') }),
    ...(flags.mayReplace === undefined ? {} : { mayReplace: [...flags.mayReplace] }),
    ...(flags.maxDowntime === undefined ? {} : { maxDowntimeMs: parseDuration(flags.maxDowntime, 'ms') }),
    ...(flags.bandwidth === undefined ? {} : { bandwidthBytesPerSec: parseBandwidth(flags.bandwidth) }),
    ...(flags.convergence === undefined ? {} : { convergence: flags.convergence }),
    ...(flags.label === undefined ? {} : { labels: parseTextMap(flags.label, '--label') }),
    ...(flags.correlationId === undefined ? {} : { correlationId: flags.correlationId }),
    ...(flags.priority === undefined ? {} : { priority: parseInteger(flags.priority, { min: 0, max: 100 }) }),
    ...(flags.timeout === undefined ? {} : { timeouts: parseTimeouts(flags.timeout) }),
    ...(Object.keys(retries).length === 0 ? {} : { retries }),
  };
  if (flags.option === undefined) return input;
  // Checked for its form before anything is asked for over the network.
  for (const option of flags.option) parseAssignment(option, '--option');
  const schema = await optionsSchema(flags.from, await client(), signal);
  return { ...input, options: parseSettings(flags.option, '--option', schema) };
}

/** The schema that the source's plugin has for its options: it says what is a number and what a text. */
async function optionsSchema(
  endpoint: string,
  client: LmasClient,
  signal: AbortSignal,
): Promise<JsonSchema | undefined> {
  const [{ plugin }, plugins] = await Promise.all([
    client.getEndpoint(endpoint, { signal }),
    client.listPlugins({ signal }),
  ]);
  return plugins.find(({ name }) => name === plugin)?.optionsSchema;
}

const SUBFLOWS = { min: 1, max: 64 };

/** `8`, `4-16` or `auto`. */
function parseSubflows(text: string): NonNullable<NonNullable<MigrationInput['tunnel']>['subflows']> {
  if (text === 'auto') return text;
  const [min = '', max, ...more] = text.split('-');
  if (max === undefined || more.length > 0) return parseInteger(text, SUBFLOWS);
  return { min: parseInteger(min, SUBFLOWS), max: parseInteger(max, SUBFLOWS) };
}

function parseTimeouts(texts: readonly string[]): Timeouts {
  const timeouts: Timeouts = {};
  for (const [stage, time] of Object.entries(parseTextMap(texts, '--timeout'))) {
    const key = TIMEOUTS[stage];
    if (key === undefined) {
      throw new CliError('INVALID_VALUE', `--timeout ${stage}: there is no such stage.`, {
        remedy: `Stages are ${Object.keys(TIMEOUTS).join(', ')}.`,
      });
    }
    timeouts[key] = parseDuration(time);
  }
  return timeouts;
}
