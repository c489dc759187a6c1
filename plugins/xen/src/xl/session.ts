/**
 * A session to one host with plain Xen: what the orchestrator asks of an endpoint. Owns the connection.
 */
import {
  type EndpointSession,
  type Inventory,
  type Load,
  PluginError,
  type VerificationStep,
  type VmSummary,
} from '@lmas/plugin-api';
import { type Dom0, descriptionSchema } from './client.ts';
import type { XlConfig } from './config.ts';
import { toPluginError } from './errors.ts';
import { bridgesOf, guestsOf, summaryOf } from './guests.ts';
import { INCOMING, readInfo } from './listing.ts';
import { measureLoad } from './load.ts';
import { verifyHost } from './verify.ts';

interface Options {
  readonly signal: AbortSignal;
}

interface DescribeJob {
  /** What only checks want to know, too. */
  readonly all?: boolean;
  /** Which of these are not there? */
  readonly paths?: readonly string[];
  /** Is a guest of that name started when the host boots? */
  readonly name?: string;
  /** Whose xl works on the guest? */
  readonly uuid?: string;
  /** How many of these ports could be listened at? */
  readonly address?: string;
  readonly ports?: readonly [from: number, to: number];
}

export class XlSession implements EndpointSession {
  readonly config: XlConfig;
  readonly dom0: Dom0;

  constructor(config: XlConfig, dom0: Dom0) {
    this.config = config;
    this.dom0 = dom0;
  }

  get closed(): AbortSignal {
    return this.dom0.closed;
  }

  /** Everything that xl tells of the host and its guests, and what else is asked for. */
  async describe(options: Options & DescribeJob) {
    const { signal, ...job } = options;
    const description = await this.dom0.ask('describe', job, descriptionSchema, { signal });
    return { description, guests: guestsOf(description) };
  }

  async inventory({ signal }: Options): Promise<Inventory> {
    try {
      const { description, guests } = await this.describe({ signal });
      const { name, version, cpus, memoryMib, freeMib } = readInfo(description.info);
      const numbers = { cpus, memoryBytes: memoryMib * 1024 ** 2, memoryFreeBytes: freeMib * 1024 ** 2 };
      return {
        host: { name, version: `Xen ${version}`, ...numbers },
        hosts: [{ name, cluster: null, state: 'connected', ...numbers }],
        networks: [...new Set(guests.flatMap(bridgesOf))],
        vms: guests.filter(({ domain }) => !domain.name.endsWith(INCOMING)).map(summaryOf),
      };
    } catch (error) {
      throw toPluginError(error, `taking the inventory of ${this.dom0.peer}`);
    }
  }

  async findVm(idOrName: string, { signal }: Options): Promise<VmSummary> {
    try {
      const { vms } = await this.inventory({ signal });
      const byId = vms.find(({ id }) => id === idOrName.toLowerCase());
      const found = byId ?? vms.find(({ name }) => name === idOrName);
      if (found !== undefined) return found;
    } catch (error) {
      throw toPluginError(error, `looking for ${idOrName}`);
    }
    throw new PluginError('VM_NOT_FOUND', `${this.dom0.peer} runs no VM ${idOrName}.`);
  }

  async load(options: Options & { intervalMs: number }): Promise<Load> {
    try {
      return await measureLoad(this.dom0, options);
    } catch (error) {
      throw toPluginError(error, `measuring the load of ${this.dom0.peer}`);
    }
  }

  verify({ signal }: Options): AsyncIterable<VerificationStep> {
    return verifyHost(this, { signal });
  }

  close(): Promise<void> {
    return this.dom0.close();
  }
}
