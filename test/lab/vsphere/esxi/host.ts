/**
 * An ESXi host's part in a move: it listens on its vMotion address (TCP 8000) and its provisioning address (TCP 902), and opens
 * connections from its own addresses to those of another host, by the routes of its TCP/IP stacks. The guest runs at one host at a
 * time: the source stops it before it tells the destination to run it.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Wire } from '../../xapi/wire.ts';
import type { HostSpec, VmSpec } from '../inventory/spec.ts';
import type { FlowKind, Guest, HostAgent, HostState, MoveOrder, MoveStatus, StackRoutes } from './agent.ts';
import { readGreeting } from './checked-duplex.ts';
import { IncomingMove } from './incoming-move.ts';
import { OutgoingMove } from './outgoing-move.ts';
import { nextHop } from './routing.ts';

export interface Dialled {
  readonly localAddress: string;
  readonly address: string;
  readonly port: number;
  /** `undefined`: in the same network. */
  readonly gateway: string | undefined;
}

export interface HostOptions {
  /** Where a connection really goes, for tests that put something in between. */
  readonly dial?: (dialled: Dialled) => { readonly host: string; readonly port: number };
  /** Where an address of the hosts really is, for tests on a machine that does not have it. */
  readonly standIn?: (address: string) => string;
  /** What a change of routes does to the machine that stands in for the host. */
  readonly applyStack?: (stack: StackRoutes, before: StackRoutes) => Promise<void>;
}

/** One change of what runs here; the clock is the machine's, the same for every host of the lab. */
export interface GuestChange {
  readonly atMs: number;
  readonly instanceUuid: string;
  readonly running: boolean;
}

export class EsxiHost implements HostAgent {
  readonly spec: HostSpec;
  /** Since the start, when what the specification says ran already. */
  readonly changes: GuestChange[] = [];
  /** Bytes that were received and whose checksum was right. */
  readonly received: Record<FlowKind, number> = { vmotion: 0, nfc: 0 };
  /** Connections that belonged to a move. */
  readonly connections: Record<FlowKind, number> = { vmotion: 0, nfc: 0 };
  readonly #options: HostOptions;
  readonly #guests = new Map<string, Guest>();
  readonly #stacks = new Map<string, StackRoutes>();
  readonly #incoming = new Map<string, IncomingMove>();
  readonly #outgoing = new Map<string, OutgoingMove>();
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #ports: Record<FlowKind, number> = { vmotion: 0, nfc: 0 };

  constructor(spec: HostSpec, options: HostOptions = {}) {
    this.spec = spec;
    this.#options = options;
    for (const vm of spec.vms ?? []) this.#guests.set(vm.instanceUuid, { vm, running: vm.poweredOn !== false });
    for (const { stack: key } of spec.vmkernels) {
      const defaultGateway = spec.gateways?.[key];
      this.#stacks.set(key, { key, routes: [], ...(defaultGateway === undefined ? {} : { defaultGateway }) });
    }
  }

  async start(): Promise<void> {
    const { ports, vmkernels } = this.spec;
    this.#ports.vmotion = ports?.vmotion ?? 8_000;
    this.#ports.nfc = ports?.nfc ?? 902;
    for (const { address, services } of vmkernels) {
      if (services.includes('vmotion')) await this.#listen('vmotion', address);
      if (this.#carriesCold(services)) await this.#listen('nfc', address);
    }
  }

  /** As the power cord: every connection breaks. */
  async stop(): Promise<void> {
    this.cutConnections();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  /** What moves now fails. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Guests that run here now, by instance UUID. */
  running(): string[] {
    return [...this.#guests.values()].filter(({ running }) => running).map(({ vm }) => vm.instanceUuid);
  }

  /** A guest ends by itself, as when it is shut down from inside; the host keeps it. */
  shutDown(instanceUuid: string): void {
    const guest = this.#guests.get(instanceUuid);
    if (guest?.running !== true) throw new Error(`${instanceUuid} does not run at ${this.spec.name}`);
    this.#guests.set(instanceUuid, { ...guest, running: false });
    this.#changed(instanceUuid, false);
  }

  stack(key: string): StackRoutes | undefined {
    return this.#stacks.get(key);
  }

  async state(): Promise<HostState> {
    return { guests: [...this.#guests.values()], stacks: [...this.#stacks.values()] };
  }

  async expect(move: string, guest: Guest): Promise<Readonly<Record<FlowKind, number>>> {
    this.#incoming.set(move, new IncomingMove(guest, (arrived) => this.#adopt(arrived)));
    return { ...this.#ports };
  }

  async forget(move: string): Promise<void> {
    this.#incoming.delete(move);
  }

  async begin(order: MoveOrder): Promise<void> {
    const guest = this.#guests.get(order.guest);
    if (guest === undefined) throw new Error(`no guest ${order.guest} at ${this.spec.name}`);
    const move = new OutgoingMove(order, {
      connect: (flow) => this.#connect(flow.stack, flow.localAddress, flow.address, flow.port),
      giveAway: () => this.#release(guest),
      takeBack: () => this.#adopt(guest),
    });
    this.#outgoing.set(order.id, move);
    void move.run();
  }

  async status(move: string): Promise<MoveStatus> {
    return this.#move(move).status();
  }

  async cancel(move: string): Promise<boolean> {
    return this.#move(move).cancel();
  }

  async resume(move: string): Promise<void> {
    this.#move(move).resume();
  }

  async settle(move: string, arrived: boolean): Promise<void> {
    this.#move(move).settle(arrived);
  }

  async setStack(stack: StackRoutes): Promise<void> {
    const before = this.#stacks.get(stack.key);
    if (before === undefined) throw new Error(`${this.spec.name} has no adapter on the stack ${stack.key}`);
    await this.#options.applyStack?.(stack, before);
    this.#stacks.set(stack.key, stack);
  }

  async update(vm: VmSpec): Promise<void> {
    const guest = this.#guests.get(vm.instanceUuid);
    if (guest !== undefined) this.#guests.set(vm.instanceUuid, { ...guest, vm });
  }

  #move(id: string): OutgoingMove {
    const move = this.#outgoing.get(id);
    if (move === undefined) throw new Error(`no move ${id} at ${this.spec.name}`);
    return move;
  }

  #adopt(guest: Guest): void {
    this.#guests.set(guest.vm.instanceUuid, guest);
    if (guest.running) this.#changed(guest.vm.instanceUuid, true);
  }

  #release(guest: Guest): void {
    this.#guests.delete(guest.vm.instanceUuid);
    if (guest.running) this.#changed(guest.vm.instanceUuid, false);
  }

  #changed(instanceUuid: string, running: boolean): void {
    this.changes.push({ atMs: performance.timeOrigin + performance.now(), instanceUuid, running });
  }

  /** Cold data goes over the provisioning adapter, or over management where there is none. */
  #carriesCold(services: HostSpec['vmkernels'][number]['services']): boolean {
    const provisioning = this.spec.vmkernels.some((one) => one.services.includes('vSphereProvisioning'));
    return services.includes(provisioning ? 'vSphereProvisioning' : 'management');
  }

  #real(address: string): string {
    return this.#options.standIn?.(address) ?? address;
  }

  async #listen(kind: FlowKind, address: string): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#track(socket);
      this.#serve(kind, new Wire(socket)).catch(() => socket.resetAndDestroy());
    });
    server.listen({ host: this.#real(address), port: this.#ports[kind] });
    await once(server, 'listening');
    const bound = server.address();
    if (typeof bound === 'object' && bound !== null) this.#ports[kind] = bound.port;
    this.#servers.push(server);
  }

  async #serve(kind: FlowKind, wire: Wire): Promise<void> {
    const greeting = await readGreeting(wire);
    const incoming = this.#incoming.get(greeting.move);
    if (incoming === undefined) throw new Error('a move that nobody announced');
    this.connections[kind] += 1;
    const bytes = await incoming.serve(wire, greeting);
    this.received[kind] += bytes;
  }

  #connect(stack: string, localAddress: string, address: string, port: number): Socket {
    const gateway = nextHop(this.spec, this.#stacks.get(stack), address);
    const target = this.#options.dial?.({ localAddress, address, port, gateway }) ?? {
      host: this.#real(address),
      port,
    };
    const socket = OutgoingMove.connect(target, this.#real(localAddress));
    this.#track(socket);
    return socket;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
