/**
 * The devices of a drill's copy: each of the VM's is rewritten so that it is the copy's own, or left out. Pure.
 */
import type { Document, Element } from '@xmldom/xmldom';
import { attribute, childElements, descend, removeChildren } from '../definition/xml.ts';
import type { DrillNames } from './names.ts';

/** What of its networks the copy gets: a libvirt network, or a bridge of the host. */
export interface NicTarget {
  readonly kind: 'network' | 'bridge';
  readonly name: string;
}

export interface CopySettings {
  readonly names: DrillNames;
  readonly migrationId: string;
  readonly vmId: string;
  /** Disk name → file at the destination and its format. A drive that is not named is empty. */
  readonly disks: Readonly<Record<string, { readonly path: string; readonly format: string }>>;
  /** Source network, bridge or device → where its NICs go; a NIC of any other has no link. */
  readonly networks: Readonly<Record<string, NicTarget>>;
  /** Of the copy's own UEFI variables. */
  readonly nvram: string | undefined;
}

/** Rewrites the element in place, or answers why it is left out: `undefined` keeps it. */
type Rewrite = (element: Element, context: Context) => string | undefined;

interface Context {
  readonly document: Document;
  readonly settings: CopySettings;
  nics: number;
}

const keep: Rewrite = () => undefined;

/** What is not named here is left out. */
const DEVICES: Readonly<Record<string, Rewrite>> = {
  emulator: keep,
  controller: keep,
  input: keepUnless((element) => ['passthrough', 'evdev'].includes(attribute(element, 'type') ?? '')),
  hub: keep,
  watchdog: keep,
  panic: keep,
  iommu: keep,
  memballoon: keep,
  memory: keepUnless((element) => attribute(element, 'model') !== 'dimm'),
  rng: keepUnless((element) => !['random', 'builtin'].includes(attribute(descend(element, 'backend'), 'model') ?? '')),
  disk: rewriteDisk,
  interface: rewriteInterface,
  serial: rewriteLine,
  parallel: rewriteLine,
  console: rewriteLine,
  channel: rewriteChannel,
  graphics: rewriteGraphics,
  video: rewriteVideo,
  sound: rewriteSound,
  tpm: rewriteTpm,
  vsock: rewriteVsock,
  // Where sound goes to at the host; without it libvirt chooses by the graphics.
  audio: (element) => drop(element),
};

function keepUnless(refuse: (element: Element) => boolean): Rewrite {
  return (element) => (refuse(element) ? nameOf(element) : undefined);
}

function nameOf(element: Element): string {
  const detail = attribute(element, 'type') ?? attribute(element, 'model');
  return detail === undefined ? element.tagName : `${element.tagName} ${detail}`;
}

/** Left out without a word: nobody misses it. */
function drop(element: Element): undefined {
  element.parentNode?.removeChild(element);
  return undefined;
}

/** @returns what was left out, in words */
export function copyDevices(document: Document, root: Element, settings: CopySettings): string[] {
  const devices = descend(root, 'devices');
  if (devices === undefined) return [];
  const context: Context = { document, settings, nics: 0 };
  const leftOut: string[] = [];
  for (const node of Array.from(devices.childNodes)) {
    if (node.nodeType !== node.ELEMENT_NODE) continue;
    const element = node as Element;
    const rewrite = Object.hasOwn(DEVICES, element.tagName) ? DEVICES[element.tagName] : undefined;
    const why = (rewrite ?? nameOf)(element, context);
    if (why === undefined) continue;
    leftOut.push(why);
    devices.removeChild(element);
  }
  return leftOut;
}

function rewriteDisk(disk: Element, { document, settings }: Context): undefined {
  const name = attribute(descend(disk, 'target'), 'dev') ?? '';
  const copy = Object.hasOwn(settings.disks, name) ? settings.disks[name] : undefined;
  disk.setAttribute('type', 'file');
  for (const host of ['snapshot', 'rawio', 'sgio']) disk.removeAttribute(host);
  removeChildren(disk, 'source', 'backingStore', 'mirror', 'auth', 'encryption', 'transient', 'shareable');
  if (copy === undefined) return undefined;
  const driver = descend(disk, 'driver') ?? document.createElement('driver');
  if (driver.parentNode === null) disk.insertBefore(driver, disk.firstChild);
  driver.removeAttribute('copy_on_read');
  removeChildren(driver, 'metadata_cache');
  const target = descend(disk, 'target') ?? null;
  const source = document.createElement('source');
  source.setAttribute('file', copy.path);
  disk.insertBefore(source, target);
  // Nothing is behind the image: libvirt does not go looking for what a guest may have written into it.
  disk.insertBefore(document.createElement('backingStore'), target);
  driver.setAttribute('name', 'qemu');
  driver.setAttribute('type', copy.format);
  return undefined;
}

/** Of a NIC these are the guest's; all else is of the host that it came from. */
const NIC_PARTS = ['model', 'driver', 'rom', 'boot', 'mtu', 'address', 'acpi'];

function rewriteInterface(nic: Element, context: Context): string | undefined {
  const { document, settings } = context;
  const type = attribute(nic, 'type') ?? 'network';
  if (type === 'hostdev' || type === 'vdpa') return nameOf(nic);
  const target = targetOf(nic, settings.networks);
  for (const node of Array.from(nic.childNodes)) {
    if (!NIC_PARTS.includes((node as Element).tagName)) nic.removeChild(node);
  }
  descend(nic, 'rom')?.removeAttribute('file');
  // The queues and offloads of a vhost-user or passed-through back end are not a tap's.
  if (!['network', 'bridge', 'direct', 'ethernet'].includes(type)) removeChildren(nic, 'driver');
  for (const { name } of Array.from(nic.attributes)) if (name !== 'type') nic.removeAttribute(name);
  const first = nic.firstChild;
  const add = (tagName: string, attributes: Readonly<Record<string, string>>): void => {
    const element = document.createElement(tagName);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    nic.insertBefore(element, first);
  };
  add('mac', { address: settings.names.mac(context.nics) });
  context.nics += 1;
  // A tap device of its own that is on no bridge: nothing is behind it, whatever the guest does with its link.
  nic.setAttribute('type', target?.kind ?? 'ethernet');
  if (target === undefined) add('link', { state: 'down' });
  else add('source', { [target.kind]: target.name });
  return undefined;
}

export function networkNameOf(nic: Element): string | undefined {
  const source = descend(nic, 'source');
  return attribute(source, 'network') ?? attribute(source, 'bridge') ?? attribute(source, 'dev');
}

function targetOf(nic: Element, networks: CopySettings['networks']): NicTarget | undefined {
  const name = networkNameOf(nic);
  return name !== undefined && Object.hasOwn(networks, name) ? networks[name] : undefined;
}

/** The host's end becomes a pseudo-terminal, which is nobody else's and gone with the copy. */
function rewriteLine(line: Element): undefined {
  line.setAttribute('type', 'pty');
  line.removeAttribute('tty');
  removeChildren(line, 'source', 'log', 'protocol');
  return undefined;
}

/** To a socket that libvirt names after the copy. */
function rewriteChannel(channel: Element): string | undefined {
  const type = attribute(channel, 'type');
  if (attribute(descend(channel, 'target'), 'type') === 'guestfwd') return 'channel guestfwd';
  removeChildren(channel, 'log', 'protocol');
  if (type === 'spicevmc' || type === 'qemu-vdagent') return undefined;
  channel.setAttribute('type', 'unix');
  removeChildren(channel, 'source');
  return undefined;
}

/** On loopback, at a port that the host chooses; a password of the VM is not known here. */
function rewriteGraphics(graphics: Element, { document }: Context): string | undefined {
  const type = attribute(graphics, 'type') ?? '';
  if (type !== 'vnc' && type !== 'spice') return nameOf(graphics);
  for (const { name } of Array.from(graphics.attributes)) if (name !== 'type') graphics.removeAttribute(name);
  while (graphics.firstChild !== null) graphics.removeChild(graphics.firstChild);
  graphics.setAttribute('autoport', 'yes');
  graphics.setAttribute('listen', '127.0.0.1');
  const listen = document.createElement('listen');
  listen.setAttribute('type', 'address');
  listen.setAttribute('address', '127.0.0.1');
  graphics.appendChild(listen);
  return undefined;
}

/** 3D needs a device of the host. */
function rewriteVideo(video: Element): undefined {
  const model = descend(video, 'model');
  if (model !== undefined) removeChildren(model, 'acceleration');
  return undefined;
}

function rewriteSound(sound: Element): undefined {
  removeChildren(sound, 'audio');
  return undefined;
}

/** An empty one of its own: the state of the VM's is a secret of the VM. */
function rewriteTpm(tpm: Element): string | undefined {
  const backend = descend(tpm, 'backend');
  if (attribute(backend, 'type') !== 'emulator') return `tpm ${attribute(backend, 'type') ?? ''}`.trim();
  backend?.removeAttribute('persistent_state');
  if (backend !== undefined) removeChildren(backend, 'encryption', 'source');
  return undefined;
}

function rewriteVsock(vsock: Element): undefined {
  for (const cid of childElements(vsock, 'cid')) {
    cid.setAttribute('auto', 'yes');
    cid.removeAttribute('address');
  }
  return undefined;
}
