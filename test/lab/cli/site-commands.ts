/** `up`, `down`, `status` and `shell`: the two sites as a whole, and what stands in them. */
import { spawn } from 'node:child_process';
import { LabError } from '../src/errors.ts';
import { type Lab, type LinkOptions, labDown, labUp, openLab } from '../src/index.ts';
import { indexOfLab } from '../src/lease.ts';
import { MACHINES } from '../src/names.ts';
import { type CommandLine, choiceOf } from './command-line.ts';

export const lineText = (link: LinkOptions): string =>
  `${link.rateMbit || 'unlimited'} Mbit/s, ${link.rttMs} ms round trip, ${link.lossPct} % loss`;

export async function up(line: CommandLine): Promise<void> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interrupted.abort(new LabError('LAB_INTERRUPTED', 'what there was of it is gone')));
  }
  const lab = await labUp({ name: line.values.name, signal: interrupted.signal, ...line.linkOptions() });
  await printStatus(line, lab);
}

export async function down(line: CommandLine): Promise<void> {
  const { name } = line.values;
  const result = await labDown(name);
  const left = result.leftovers;
  line.print(
    result,
    left.length === 0 ? `Lab ${name} is down; nothing is left.` : `Left over:\n  ${left.join('\n  ')}`,
  );
  if (left.length > 0) process.exitCode = 1;
}

export async function status(line: CommandLine): Promise<void> {
  const { name } = line.values;
  if (indexOfLab(name) === undefined) {
    line.print({ name, up: false }, `Lab ${name} is down.`);
    process.exitCode = 1;
    return;
  }
  await printStatus(line, await openLab(name));
}

async function printStatus(line: CommandLine, lab: Lab): Promise<void> {
  const { kind } = await lab.linkStats();
  const machines = MACHINES.map((machine) => {
    const { running, address, dataAddress, netns, ssh } = lab.machines[machine];
    return { machine, running, address, dataAddress, netns, ssh };
  });
  const vms = await lab.vm.list();
  const text = [
    `Lab ${lab.name}: WAN ${lineText(lab.link)} (${kind})`,
    ...machines.map(
      ({ machine, running, address, dataAddress, ssh }) =>
        `  ${machine.padEnd(8)}${running ? 'up  ' : 'DOWN'}  management ${address.padEnd(14)}data ${dataAddress.padEnd(14)}key ${ssh.hostKeySha256}`,
    ),
    `  ssh -i ${lab.clientKeyPath} root@ADDRESS`,
    ...(vms.length > 0 ? ['VMs:', ...vms.map((vm) => `  ${vmLine(vm)}`)] : []),
  ];
  const { name, link, clientKeyPath } = lab;
  line.print({ name, up: true, link, linkKind: kind, clientKeyPath, machines, vms }, text.join('\n'));
}

type VmRow = Awaited<ReturnType<Lab['vm']['list']>>[number];

export const vmLine = ({ name, site, state, uuid }: VmRow): string =>
  `${name.padEnd(16)}at ${site}  ${state.padEnd(10)}${uuid}`;

export async function shell(line: CommandLine): Promise<void> {
  const machine = choiceOf('machine', line.word(1, 'MACHINE'), MACHINES);
  const lab = await openLab(line.values.name);
  const command = line.shellCommand.length > 0 ? [...line.shellCommand] : ['/bin/bash', '-l'];
  const child = spawn('nsenter', lab.machines[machine].enterArguments(command), { stdio: 'inherit' });
  process.on('SIGINT', () => undefined); // the command inside gets it from the terminal, and decides
  process.exitCode = await new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 128)));
}
