/**
 * A host with plain Xen as the scripted xl sees it: a directory with its domains, which every call of xl reads and changes
 * under a lock, and a log, shared by all hosts of a test, of which guest began or ceased to execute where. The log is the
 * truth. The directory has the host's xl, too; what that only has to print is written when it changes.
 */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { printConfigs, printHelp, printInfo, printList } from './print.ts';

export interface GuestConfig {
  readonly c_info: { readonly type: string; readonly name: string; readonly uuid: string };
  readonly b_info: { readonly max_vcpus: number; readonly max_memkb: number; readonly target_memkb: number };
  readonly disks: readonly object[];
  readonly nics: readonly object[];
  readonly pcidevs?: readonly object[];
}

export interface ScriptedDomain {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly memoryMib: number;
  readonly vcpus: number;
  readonly state: 'running' | 'paused' | 'suspended';
  readonly config: GuestConfig | null;
}

export interface HostSettings {
  readonly name: string;
  /** Where `truth` is written, the same for all hosts of a test. */
  readonly truth: string;
  readonly version?: string;
  readonly totalMib?: number;
  readonly freeMib?: number;
  readonly hwCaps?: string;
  /** As older releases. */
  readonly cannotResume?: boolean;
  readonly bytesPerSec?: number;
}

/** Where in a migration, or a save, xl can be met; see migrate.ts and main.ts. */
export type Point =
  | 'saving'
  | 'saved'
  | 'half-sent'
  | 'all-sent'
  | 'given-name'
  | 'given'
  | 'reported'
  | 'created'
  | 'received'
  | 'permitted'
  | 'renamed'
  | 'started';
/** `hang`: until the fault is taken away; `die`: killed there; `fail`: the step is refused by the hypervisor. */
export type Fault = 'hang' | 'die' | 'fail';

const POLL_MS = 10;
const executes = (domain: ScriptedDomain | undefined): boolean => domain?.state === 'running';

export class ScriptedHost {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * @param cache where Node may keep what it has compiled: xl is started often
   * @param inside what the host itself calls the directory
   */
  static make(directory: string, settings: HostSettings, cache: string, inside = directory): ScriptedHost {
    mkdirSync(join(directory, 'faults'), { recursive: true });
    mkdirSync(join(directory, 'reached'));
    const host = new ScriptedHost(directory);
    host.set(settings);
    host.#write([]);
    const main = join(import.meta.dirname, 'main.ts');
    writeFileSync(
      host.program,
      `#!/bin/sh
case "$1 $2" in
  'list -v') exec cat '${inside}/list' ;;
  'list -l') exec cat '${inside}/configs' ;;
  'info ') exec cat '${inside}/info' ;;
  'help ') exec cat '${inside}/help' ;;
  'save '* | '-v save') NODE_COMPILE_CACHE='${cache}' '${process.execPath}' '${main}' '${inside}' "$@"; exit $? ;; # to be seen as xl
esac
NODE_COMPILE_CACHE='${cache}' exec '${process.execPath}' '${main}' '${inside}' "$@"
`,
    );
    chmodSync(host.program, 0o755);
    return host;
  }

  /** The host's xl, under a name of its own: hosts that are one machine see each other's processes. */
  get program(): string {
    return join(this.directory, `xl-${basename(dirname(this.directory))}-${basename(this.directory)}`);
  }

  /** What its xl locks while it makes or receives a guest. */
  get lockPath(): string {
    return join(this.directory, 'xl.lock');
  }

  get settings(): HostSettings {
    return JSON.parse(readFileSync(join(this.directory, 'host.json'), 'utf8')) as HostSettings;
  }

  set(settings: HostSettings): void {
    writeFileSync(join(this.directory, 'host.json'), JSON.stringify(settings));
    writeFileSync(join(this.directory, 'info'), printInfo(settings));
    writeFileSync(join(this.directory, 'help'), printHelp(settings));
  }

  domains(): readonly ScriptedDomain[] {
    return JSON.parse(readFileSync(join(this.directory, 'domains.json'), 'utf8')) as ScriptedDomain[];
  }

  /** Whoever begins or ceases to execute by it is written down in the same moment. */
  async change(edit: (domains: readonly ScriptedDomain[]) => readonly ScriptedDomain[]): Promise<void> {
    const lock = join(this.directory, 'lock');
    for (;;) {
      try {
        mkdirSync(lock);
        break;
      } catch {
        await sleep(POLL_MS / 2);
      }
    }
    try {
      const before = this.domains();
      const after = edit(before);
      const at = (list: readonly ScriptedDomain[], id: number) => list.find(({ domid }) => domid === id);
      const changed = [...new Set([...before, ...after].map(({ domid }) => domid))].filter(
        (id) => executes(at(before, id)) !== executes(at(after, id)),
      );
      const { name: host, truth } = this.settings;
      for (const id of changed) {
        const { uuid } = (at(after, id) ?? at(before, id)) as ScriptedDomain;
        appendFileSync(truth, `${JSON.stringify({ host, uuid, runs: executes(at(after, id)) })}\n`);
      }
      this.#write(after);
    } finally {
      rmdirSync(lock);
    }
  }

  async add(domain: Omit<ScriptedDomain, 'domid'>): Promise<number> {
    let domid = 0;
    await this.change((domains) => {
      domid = Math.max(0, ...domains.map((other) => other.domid), this.#lastDomid()) + 1;
      writeFileSync(join(this.directory, 'last-domid'), String(domid));
      return [...domains, { domid, ...domain }];
    });
    return domid;
  }

  async update(domid: number, fields: Partial<ScriptedDomain>): Promise<void> {
    await this.change((domains) =>
      domains.map((domain) => (domain.domid === domid ? { ...domain, ...fields } : domain)),
    );
  }

  async remove(domid: number): Promise<void> {
    await this.change((domains) => domains.filter((domain) => domain.domid !== domid));
  }

  /** A rename that meets a taken name is refused, as libxl_domain_rename does. */
  async rename(domid: number, name: string): Promise<boolean> {
    if (this.domains().some((domain) => domain.name === name && domain.domid !== domid)) return false;
    await this.update(domid, { name });
    return true;
  }

  /** Called by xl when it comes to `point`. @returns whether the step is to fail */
  async at(point: Point): Promise<boolean> {
    const fault = join(this.directory, 'faults', point);
    writeFileSync(join(this.directory, 'reached', point), '');
    if (!existsSync(fault)) return false;
    const what = readFileSync(fault, 'utf8') as Fault;
    if (what === 'die') {
      rmSync(fault);
      process.kill(process.pid, 'SIGKILL');
    }
    if (what === 'fail') return true;
    while (existsSync(fault)) await sleep(POLL_MS);
    return false;
  }

  arm(point: Point, fault: Fault): void {
    writeFileSync(join(this.directory, 'faults', point), fault);
  }

  disarm(point: Point): void {
    rmSync(join(this.directory, 'faults', point), { force: true });
  }

  async reached(point: Point, signal: AbortSignal): Promise<void> {
    while (!existsSync(join(this.directory, 'reached', point))) await sleep(POLL_MS, undefined, { signal });
  }

  #write(domains: readonly ScriptedDomain[]): void {
    const texts = { 'domains.json': JSON.stringify(domains), list: printList(domains), configs: printConfigs(domains) };
    for (const [name, text] of Object.entries(texts)) {
      writeFileSync(join(this.directory, `${name}.new`), text);
      renameSync(join(this.directory, `${name}.new`), join(this.directory, name));
    }
  }

  #lastDomid(): number {
    const path = join(this.directory, 'last-domid');
    return existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
  }
}

export interface TruthEntry {
  readonly host: string;
  readonly uuid: string;
  readonly runs: boolean;
}

export function readTruth(path: string): readonly TruthEntry[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line) => (line === '' ? [] : [JSON.parse(line) as TruthEntry]));
}
