/** `vm …`: define, start, look at, verify and remove the lab's guests. */
import type { VmDisk, VmNetwork } from '../src/domain.ts';
import { LabError } from '../src/errors.ts';
import { type Lab, openLab, type SiteName } from '../src/index.ts';
import { SITES } from '../src/names.ts';
import { type CommandLine, choiceOf, given, numberOf } from './command-line.ts';
import { vmLine } from './site-commands.ts';

/** One guest, and where it is to be looked for. */
interface Guest {
  readonly lab: Lab;
  readonly site: SiteName;
  readonly name: string;
}

export async function vm(line: CommandLine): Promise<void> {
  const lab = await openLab(line.values.name);
  const verb = line.word(1, 'what to do with a VM');
  if (verb === 'list') return list(line, lab);
  const name = line.word(2, 'the VM’s name');
  if (verb === 'define') return define(line, lab, name);
  if (verb === 'remove') {
    if (!(await lab.vm.list()).some((row) => row.name === name)) throw new LabError('LAB_VM_UNKNOWN', name);
    await lab.vm.remove(name);
    return line.print({ name }, `${name} is gone, disks and all.`);
  }
  const command = GUEST_COMMANDS[verb];
  if (!command) throw new LabError('LAB_ARGUMENT', `vm ${verb}: there is no such command; see --help`);
  await command(line, { lab, name, site: await siteOf(line, lab, name) });
}

/** The site given, or the one where the VM runs, or the one where it is defined. */
async function siteOf(line: CommandLine, lab: Lab, name: string): Promise<SiteName> {
  if (line.values.site !== undefined) return line.choice('site', SITES, 'a');
  const rows = (await lab.vm.list()).filter((row) => row.name === name);
  const row = rows.find((candidate) => candidate.state === 'running') ?? rows[0];
  if (!row) throw new LabError('LAB_VM_UNKNOWN', name);
  return row.site;
}

async function list(line: CommandLine, lab: Lab): Promise<void> {
  const rows = await lab.vm.list();
  line.print(rows, rows.map(vmLine).join('\n') || 'no VMs');
}

async function define(line: CommandLine, lab: Lab, name: string): Promise<void> {
  const { uuid } = await lab.vm.define({
    name,
    site: line.choice('site', SITES, 'a'),
    network: line.choice<VmNetwork>('network', ['lab', 'site', 'none'], 'lab'),
    ...given({
      memoryMib: line.number('memory'),
      fillMib: line.number('fill'),
      workingSetMib: line.number('working-set'),
      dirtyPagesPerSec: line.number('dirty'),
      zeroPercent: line.number('zero'),
      compressiblePercent: line.number('compressible'),
      diskSectorsPerSec: line.number('sectors'),
      disks: line.values.disk?.map(diskOf),
    }),
  });
  line.print({ name, uuid }, `${name} is defined: ${uuid}`);
}

/** `local|shared[:raw|qcow2[:MIB]]` */
function diskOf(text: string): VmDisk {
  const [kind = '', format = 'qcow2', size = '64'] = text.split(':');
  return {
    kind: choiceOf('--disk', kind, ['local', 'shared']),
    format: choiceOf('--disk format', format, ['raw', 'qcow2']),
    sizeMib: numberOf('--disk size', size),
  };
}

const GUEST_COMMANDS: Readonly<Record<string, (line: CommandLine, guest: Guest) => Promise<void>>> = {
  async start(line, { lab, site, name }) {
    const result = await lab.vm.start(site, name);
    line.print(result, `${name} runs at ${site}: ${result.pages} pages filled`);
  },

  async destroy(line, { lab, site, name }) {
    await lab.vm.destroy(site, name);
    line.print({ name, site }, `${name} is off.`);
  },

  async status(line, { lab, site, name }) {
    const result = await lab.vm.status(site, name);
    line.print(
      { site, ...result },
      `${name} at ${site}: counter ${result.counter}, ${result.writes} pages rewritten, ${result.sectorWrites} sectors written, nonce ${result.nonce}`,
    );
  },

  async nonce(line, { lab, site, name }) {
    const nonce = await lab.vm.setNonce(site, name, line.words[3]);
    line.print({ nonce }, nonce);
  },

  async rate(line, { lab, site, name }) {
    const pagesPerSec = numberOf('PAGES_PER_SEC', line.word(3, 'PAGES_PER_SEC'));
    await lab.vm.setDirtyRate(site, name, pagesPerSec);
    line.print({ name, pagesPerSec }, `${name} rewrites ${pagesPerSec} pages a second.`);
  },

  async verify(line, { lab, site, name }) {
    const verdict = await lab.vm.verify(site, name);
    line.print(
      { site, ...verdict },
      `${name} at ${site}: ${verdict.pages} pages checked, ${verdict.badPages} bad; ${verdict.sectors} sectors checked, ${verdict.badSectors} bad`,
    );
    if (verdict.badPages + verdict.badSectors + verdict.diskErrors > 0) process.exitCode = 1;
  },
};
