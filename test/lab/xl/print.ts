/** What xl prints of a host and its domains, as tools/xl/xl_info.c, xl_list.c and xl.c of Xen format it. Pure. */
import type { HostSettings, ScriptedDomain } from './host.ts';

const DOM0: ScriptedDomain = {
  ...{ domid: 0, name: 'Domain-0', uuid: '00000000-0000-0000-0000-000000000000', memoryMib: 2_048, vcpus: 4 },
  ...{ state: 'running', config: null },
};
const HEAD =
  'Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label';

/** `xl list -v`. */
export function printList(domains: readonly ScriptedDomain[]): string {
  return `${[HEAD, ...[DOM0, ...domains].map(line)].join('\n')}\n`;
}

function line({ name, domid, memoryMib, vcpus, state, uuid }: ScriptedDomain): string {
  const letters = { running: '-b----', paused: '--p---', suspended: '---ss-' }[state];
  const reason = state === 'suspended' ? '2' : '-';
  const numbers = [domid, memoryMib, vcpus].map((number) => String(number).padStart(5)).join(' ');
  return `${name.padEnd(40)} ${numbers}     ${letters}  ${'12.5'.padStart(8)} ${uuid} ${reason.padStart(8)} ${'-'.padStart(16)}`;
}

/** `xl list -l`; the name is the one of now, as libxl_retrieve_domain_configuration fills it in. */
export function printConfigs(domains: readonly ScriptedDomain[]): string {
  const known = domains.flatMap(({ domid, name, config }) =>
    config === null ? [] : [{ domid, config: { ...config, c_info: { ...config.c_info, name } } }],
  );
  return `${JSON.stringify([{ domid: 0, config: { c_info: { type: 'pv', name: 'Domain-0' } } }, ...known], null, 4)}\n`;
}

/** `xl info`. */
export function printInfo(settings: HostSettings): string {
  const { name, version = '4.17.3', totalMib = 16_384, freeMib = 8_192, hwCaps = 'bfebfbff:77f8f3ff' } = settings;
  const fields = {
    ...{ host: name, release: '6.1.0', machine: 'x86_64', nr_cpus: 8, hw_caps: hwCaps },
    ...{ total_memory: totalMib, free_memory: freeMib, xen_version: version },
  };
  return Object.entries(fields)
    .map(([key, value]) => `${key.padEnd(23)}: ${value}\n`)
    .join('');
}

/** `xl help`. */
export function printHelp({ cannotResume = false }: HostSettings): string {
  const commands = ['create', 'list', 'destroy', 'migrate', ...(cannotResume ? [] : ['resume'])];
  const lines = commands.map((name) => ` ${name.padEnd(19)} does it\n`);
  return `Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n${lines.join('')}`;
}
