// `npm run lab -- …`: the lab by hand. Every verb is a thin layer over src/index.ts; each prints for people, or JSON with --json.

import { spawn } from 'node:child_process';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { checkLink, printCheck } from './src/check.ts';
import type { VmDisk, VmNetwork } from './src/domain.ts';
import { LabError } from './src/errors.ts';
import {
  type Direction,
  type Lab,
  type LinkOptions,
  labDown,
  labUp,
  type MachineName,
  openLab,
  type SiteName,
} from './src/index.ts';
import { indexOfLab } from './src/lease.ts';
import { DEFAULT_NAME, MACHINES, SITES } from './src/names.ts';

const HELP = `Usage: npm run lab -- [--name NAME] [--json] COMMAND

Two sites on this machine: at each a libvirt host and a machine for a gateway, joined by a WAN. Needs root.

  up [--rate MBIT] [--rtt MS] [--loss PERCENT] [--queue MS] [--jitter MS]
                            bring it up (default 1000 Mbit/s, 100 ms, no loss), or set the line of one that is up
  down                      take everything down; exit code 1 if something was left, and says what
  status                    machines, addresses, keys, line, VMs
  shell MACHINE [CMD…]      a shell, or a command, in ${MACHINES.join(', ')}
  vm define NAME [--site a|b] [--memory MIB] [--fill MIB] [--working-set MIB] [--dirty PAGES_PER_SEC] [--zero PCT]
         [--compressible PCT] [--disk local|shared[:raw|qcow2[:MIB]]]… [--sectors PER_SEC] [--network lab|site|none]
  vm start NAME [--site a|b]     start it and wait for its guest
  vm list | vm status NAME | vm destroy NAME | vm remove NAME
  vm verify NAME            every page and sector, checked by the guest; exit code 1 if one is bad
  vm nonce NAME [HEX]       put a nonce into the guest's memory
  vm rate NAME PAGES_PER_SEC     change how fast it writes
  wan set [--rate …] [--rtt …] [--loss …] [--queue …] [--jitter …]
  wan stats                 packets, bytes and drops in each direction
  wan outage MS|on|off [--direction ab|ba|both]
  wan check [--seconds N]   measure round trip and the rate of one TCP stream (BBR) against theory

  --name NAME   which lab (default ${DEFAULT_NAME}); several may be up at once
  --json        print one JSON value
  --help        this`;

const { values, positionals } = parse({
  allowPositionals: true,
  args: splitShell(process.argv.slice(2)).own,
  options: {
    name: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
    yes: { type: 'boolean' },
    rate: { type: 'string' },
    rtt: { type: 'string' },
    loss: { type: 'string' },
    queue: { type: 'string' },
    jitter: { type: 'string' },
    site: { type: 'string' },
    memory: { type: 'string' },
    fill: { type: 'string' },
    'working-set': { type: 'string' },
    dirty: { type: 'string' },
    zero: { type: 'string' },
    compressible: { type: 'string' },
    disk: { type: 'string', multiple: true },
    sectors: { type: 'string' },
    network: { type: 'string' },
    direction: { type: 'string' },
    seconds: { type: 'string' },
  },
});

/** parseArgs, but a wrong option is told in one line. */
function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    console.error(`${(error as Error).message}; see --help`);
    process.exit(2);
  }
}

/** What follows `shell MACHINE` belongs to the command that is run there, options and all. */
function splitShell(args: string[]): { own: string[]; command: string[] } {
  const at = args.indexOf('shell');
  return at < 0 ? { own: args, command: [] } : { own: args.slice(0, at + 2), command: args.slice(at + 2) };
}

function print(value: unknown, text: string): void {
  console.log(values.json ? JSON.stringify(value, null, 2) : text);
}

function numberOf(option: keyof typeof values): number | undefined {
  const text = values[option];
  return text === undefined ? undefined : toNumber(`--${option}`, String(text));
}

function toNumber(what: string, text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number) || number < 0)
    throw new LabError('LAB_ARGUMENT', `${what} ${text}: a number, not negative, is wanted`);
  return number;
}

function oneOf<T extends string>(what: string, text: string | undefined, choices: readonly T[], fallback: T): T {
  if (text === undefined) return fallback;
  const found = choices.find((choice) => choice === text);
  if (!found) throw new LabError('LAB_ARGUMENT', `${what} ${text}: one of ${choices.join(', ')} is wanted`);
  return found;
}

function required(what: string, text: string | undefined): string {
  if (!text) throw new LabError('LAB_ARGUMENT', `${what} is missing; see --help`);
  return text;
}

/** Only what was given: undefined leaves a setting as it is. */
function linkOptions(): Partial<LinkOptions> {
  const given = {
    rateMbit: numberOf('rate'),
    rttMs: numberOf('rtt'),
    lossPct: numberOf('loss'),
    queueMs: numberOf('queue'),
    jitterMs: numberOf('jitter'),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const lineText = (link: LinkOptions): string =>
  `${link.rateMbit || 'unlimited'} Mbit/s, ${link.rttMs} ms round trip, ${link.lossPct} % loss`;

async function up(): Promise<void> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interrupted.abort(new LabError('LAB_INTERRUPTED', 'what there was of it is gone')));
  }
  await status(await labUp({ name: values.name ?? DEFAULT_NAME, signal: interrupted.signal, ...linkOptions() }));
}

async function down(): Promise<void> {
  const name = values.name ?? DEFAULT_NAME;
  const result = await labDown(name);
  print(
    result,
    result.leftovers.length === 0
      ? `Lab ${name} is down; nothing is left.`
      : `Left over:\n  ${result.leftovers.join('\n  ')}`,
  );
  if (result.leftovers.length > 0) process.exitCode = 1;
}

async function status(known?: Lab): Promise<void> {
  const name = values.name ?? DEFAULT_NAME;
  if (!known && indexOfLab(name) === undefined) {
    print({ name, up: false }, `Lab ${name} is down.`);
    process.exitCode = 1;
    return;
  }
  const lab = known ?? (await openLab(name));
  const { kind } = await lab.linkStats();
  const machines = MACHINES.map((machine) => lab.machines[machine]).map(
    ({ name: machine, running, address, dataAddress, netns, ssh }) => ({
      machine,
      running,
      address,
      dataAddress,
      netns,
      ssh,
    }),
  );
  const vms = await lab.vm.list();
  const rows = machines.map(
    (row) =>
      `  ${row.machine.padEnd(8)}${row.running ? 'up  ' : 'DOWN'}  management ${row.address.padEnd(14)}data ${row.dataAddress.padEnd(14)}key ${row.ssh.hostKeySha256}`,
  );
  const vmRows = vms.map((row) => `  ${row.name.padEnd(16)}at ${row.site}  ${row.state.padEnd(10)}${row.uuid}`);
  const lines = [
    `Lab ${lab.name}: WAN ${lineText(lab.link)} (${kind})`,
    ...rows,
    `  ssh -i ${lab.clientKeyPath} root@ADDRESS`,
    ...(vms.length > 0 ? ['VMs:', ...vmRows] : []),
  ];
  print(
    { name: lab.name, up: true, link: lab.link, linkKind: kind, clientKeyPath: lab.clientKeyPath, machines, vms },
    lines.join('\n'),
  );
}

async function shell(): Promise<void> {
  const lab = await openLab(values.name);
  const machine = oneOf<MachineName>('machine', required('MACHINE', positionals[1]), MACHINES, 'host-a');
  const { command } = splitShell(process.argv.slice(2));
  const args = lab.machines[machine].enterArguments(command.length > 0 ? command : ['/bin/bash', '-l']);
  const child = spawn('nsenter', args, { stdio: 'inherit' });
  process.on('SIGINT', () => undefined); // the command inside gets it from the terminal, and decides
  process.exitCode = await new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 128)));
}

function diskOf(text: string): VmDisk {
  const [kind, format, size] = text.split(':');
  return {
    kind: oneOf('--disk', kind, ['local', 'shared'], 'local'),
    format: oneOf('--disk format', format, ['raw', 'qcow2'], 'qcow2'),
    sizeMib: size === undefined ? 64 : toNumber('--disk size', size),
  };
}

function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** The site given, or the one where the VM runs, or the one where it is defined. */
async function siteOfVm(lab: Lab, name: string): Promise<SiteName> {
  if (values.site !== undefined) return oneOf('--site', values.site, SITES, 'a');
  const rows = (await lab.vm.list()).filter((row) => row.name === name);
  const row = rows.find((candidate) => candidate.state === 'running') ?? rows[0];
  if (!row) throw new LabError('LAB_VM_UNKNOWN', name);
  return row.site;
}

async function vmDefine(lab: Lab, name: string): Promise<void> {
  const options = defined({
    name,
    site: oneOf('--site', values.site, SITES, 'a'),
    memoryMib: numberOf('memory'),
    fillMib: numberOf('fill'),
    workingSetMib: numberOf('working-set'),
    dirtyPagesPerSec: numberOf('dirty'),
    zeroPercent: numberOf('zero'),
    compressiblePercent: numberOf('compressible'),
    diskSectorsPerSec: numberOf('sectors'),
    disks: values.disk?.map(diskOf),
    network: oneOf<VmNetwork>('--network', values.network, ['lab', 'site', 'none'], 'lab'),
  });
  const { uuid } = await lab.vm.define(options as Parameters<typeof lab.vm.define>[0]);
  print({ name, uuid }, `${name} is defined: ${uuid}`);
}

async function vm(): Promise<void> {
  const lab = await openLab(values.name);
  const verb = required('what to do with a VM', positionals[1]);
  if (verb === 'list') {
    const rows = await lab.vm.list();
    return print(
      rows,
      rows.map((row) => `${row.name.padEnd(16)}at ${row.site}  ${row.state.padEnd(10)}${row.uuid}`).join('\n') ||
        'no VMs',
    );
  }
  const name = required('the VM’s name', positionals[2]);
  if (verb === 'define') return vmDefine(lab, name);
  if (verb === 'remove') {
    await lab.vm.remove(name);
    return print({ name }, `${name} is gone, disks and all.`);
  }
  const site = await siteOfVm(lab, name);
  if (verb === 'start') {
    const result = await lab.vm.start(site, name);
    return print(result, `${name} runs at ${site}: ${result.pages} pages filled`);
  }
  if (verb === 'destroy') {
    await lab.vm.destroy(site, name);
    return print({ name, site }, `${name} is off.`);
  }
  if (verb === 'status') {
    const result = await lab.vm.status(site, name);
    return print(
      { site, ...result },
      `${name} at ${site}: counter ${result.counter}, ${result.writes} pages rewritten, ${result.sectorWrites} sectors written, nonce ${result.nonce}`,
    );
  }
  if (verb === 'nonce') {
    const nonce = await lab.vm.setNonce(site, name, positionals[3]);
    return print({ nonce }, nonce);
  }
  if (verb === 'rate') {
    await lab.vm.setDirtyRate(site, name, toNumber('PAGES_PER_SEC', required('PAGES_PER_SEC', positionals[3])));
    return print({ name }, `${name} rewrites ${positionals[3]} pages a second.`);
  }
  if (verb === 'verify') {
    const verdict = await lab.vm.verify(site, name);
    const bad = verdict.badPages + verdict.badSectors + verdict.diskErrors;
    print(
      { site, ...verdict },
      `${name} at ${site}: ${verdict.pages} pages checked, ${verdict.badPages} bad; ${verdict.sectors} sectors checked, ${verdict.badSectors} bad`,
    );
    if (bad > 0) process.exitCode = 1;
    return;
  }
  throw new LabError('LAB_ARGUMENT', `vm ${verb}; see --help`);
}

async function wan(): Promise<void> {
  const lab = await openLab(values.name);
  const verb = required('what to do with the WAN', positionals[1]);
  if (verb === 'set') {
    const link = await lab.setLink(linkOptions());
    print(link, lineText(link));
  } else if (verb === 'stats') {
    const stats = await lab.linkStats();
    const row = (name: string, d: typeof stats.ab) =>
      `${name}  offered ${d.packets} packets, ${(d.bytes / 1e6).toFixed(1)} MB; delivered ${d.deliveredPackets}, ${(d.deliveredBytes / 1e6).toFixed(1)} MB; dropped: queue ${d.droppedQueue}, loss ${d.droppedLoss}, outage ${d.droppedOutage}, other ${d.droppedMemory + d.droppedOther}; late ${d.late} of ${d.deliveries}${d.outage ? '; CUT' : ''}`;
    print(
      stats,
      [
        `${lineText(stats.settings)} (${stats.kind}, ${(stats.cpuUs / 1e6).toFixed(2)} s of processor)`,
        row('a→b', stats.ab),
        row('b→a', stats.ba),
      ].join('\n'),
    );
  } else if (verb === 'outage') {
    const how = required('MS, on or off', positionals[2]);
    await lab.outage(
      how === 'on' || how === 'off' ? how : toNumber('MS', how),
      oneOf<Direction>('--direction', values.direction, ['ab', 'ba', 'both'], 'both'),
    );
    print({ outage: how }, `Line: ${how === 'off' ? 'whole again' : `cut (${how}${how === 'on' ? '' : ' ms'})`}`);
  } else if (verb === 'check') {
    const result = await checkLink(lab, { seconds: numberOf('seconds') ?? 8 });
    print(result, printCheck(result));
    if (!result.passed) process.exitCode = 1;
  } else {
    throw new LabError('LAB_ARGUMENT', `wan ${verb}; see --help`);
  }
}

async function main(): Promise<void> {
  const commands: Record<string, () => Promise<void>> = { up, down, status: () => status(), shell, vm, wan };
  const command = commands[positionals[0] ?? ''];
  if (values.help) return console.log(HELP);
  if (!command) {
    console.error(positionals[0] ? `Unknown command ${positionals[0]}; see --help` : HELP);
    process.exitCode = 2;
    return;
  }
  await command();
}

try {
  await main();
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  if (values.json) console.log(JSON.stringify({ error: { code: error.code, message: error.message } }));
  else console.error(`${error.code}: ${error.message}`);
  process.exitCode = error.code === 'LAB_ARGUMENT' ? 2 : 1;
}
