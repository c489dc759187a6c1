/**
 * A vCenter with its hosts in this process, for tests without root: everything listens on loopback addresses, at free ports, and bytes
 * really move between the hosts. The lab's own (`lab-vcenter.ts`) is the same in processes of its own.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VsphereEndpoint } from './endpoint.ts';
import { EsxiHost, type HostOptions } from './esxi/host.ts';
import type { HostSpec, VcenterSpec } from './inventory/spec.ts';
import { Schema } from './schema/schema.ts';
import { certificateFor, type ServerCertificate } from './wire/certificate.ts';
import { type Listening, serve } from './wire/server.ts';

let schema: Schema | undefined;

/** Read once for a process. @throws when golang-github-vmware-govmomi-dev is not installed */
export function publishedSchema(): Schema {
  schema ??= Schema.read();
  return schema;
}

export interface VcenterOptions extends HostOptions {
  /** HTTP instead of HTTPS. */
  readonly plain?: boolean;
  /** 127.0.0.1 unless said. */
  readonly address?: string;
}

export class LocalVcenter implements AsyncDisposable {
  readonly spec: VcenterSpec;
  readonly hosts: ReadonlyMap<string, EsxiHost>;
  readonly certificate: ServerCertificate | undefined;
  readonly address: string;
  readonly #directory: string;
  #endpoint: VsphereEndpoint;
  #listening: Listening;

  private constructor(parts: {
    spec: VcenterSpec;
    hosts: ReadonlyMap<string, EsxiHost>;
    directory: string;
    certificate: ServerCertificate | undefined;
    address: string;
    endpoint: VsphereEndpoint;
    listening: Listening;
  }) {
    this.spec = parts.spec;
    this.hosts = parts.hosts;
    this.certificate = parts.certificate;
    this.address = parts.address;
    this.#directory = parts.directory;
    this.#endpoint = parts.endpoint;
    this.#listening = parts.listening;
  }

  static async start(spec: VcenterSpec, options: VcenterOptions = {}): Promise<LocalVcenter> {
    const address = options.address ?? '127.0.0.1';
    await using made = new AsyncDisposableStack();
    const hosts = new Map<string, EsxiHost>();
    const directory = mkdtempSync(join(tmpdir(), 'lmas-vcenter-'));
    made.defer(() => rmSync(directory, { recursive: true, force: true }));
    for (const hostSpec of spec.hosts) {
      const host = new EsxiHost(onFreePorts(hostSpec), options);
      hosts.set(hostSpec.name, host);
      made.defer(() => host.stop());
      await host.start();
    }
    const certificate = options.plain === true ? undefined : certificateFor(directory, address);
    const endpoint = await VsphereEndpoint.make(spec, publishedSchema(), hosts);
    made.defer(() => endpoint.die());
    const listening = await serve(endpoint, { host: address, port: 0, certificate });
    made.move(); // `stop` takes it down from here on
    return new LocalVcenter({ spec, hosts, directory, certificate, address, endpoint, listening });
  }

  /** The one that runs now: `restart` makes another. */
  get endpoint(): VsphereEndpoint {
    return this.#endpoint;
  }

  get port(): number {
    return this.#listening.port;
  }

  get url(): string {
    return `${this.certificate === undefined ? 'http' : 'https'}://${this.address}:${this.port}/sdk`;
  }

  get instanceUuid(): string {
    const [service] = this.endpoint.objects.all('ServiceInstance');
    return service === undefined ? '' : String(this.endpoint.objects.at(service.ref, 'content.about.instanceUuid'));
  }

  /** A host by its name. @throws when there is none */
  host(name: string): EsxiHost {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no host is called ${name}`);
    return host;
  }

  /** Names of the hosts where a VM of that instance UUID runs: none, one, and never more. */
  runsAt(instanceUuid: string): string[] {
    return [...this.hosts].filter(([, host]) => host.running().includes(instanceUuid)).map(([name]) => name);
  }

  /** A guest is shut down from inside, and the vCenter shows it so. While the vCenter is away, ask its host. */
  shutDown(instanceUuid: string): void {
    const { objects } = this.endpoint;
    for (const name of this.runsAt(instanceUuid)) this.host(name).shutDown(instanceUuid);
    for (const { ref } of objects.all('VirtualMachine'))
      if (objects.at(ref, 'config.instanceUuid') === instanceUuid)
        objects.merge(ref, 'runtime', { powerState: 'poweredOff' });
  }

  /** The vCenter goes; its hosts, and what moves between them, go on. Sessions and tasks are forgotten. */
  async kill(): Promise<void> {
    this.#endpoint.die();
    await this.#listening.close();
  }

  /** After `kill`, at the same port: it asks its hosts what they have. */
  async restart(): Promise<void> {
    const { port } = this.#listening;
    this.#endpoint = await VsphereEndpoint.make(this.spec, publishedSchema(), this.hosts);
    this.#listening = await serve(this.#endpoint, { host: this.address, port, certificate: this.certificate });
  }

  async stop(): Promise<void> {
    await this.kill();
    await Promise.all([...this.hosts.values()].map((host) => host.stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Tests run beside each other: the real ports can be had by one of them only. */
const onFreePorts = (host: HostSpec): HostSpec => ({ ...host, ports: { vmotion: 0, nfc: 0, ...host.ports } });
