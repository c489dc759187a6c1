/**
 * Rewrites a domain's XML for the destination: disks to their place there, interfaces to the networks there. Nothing
 * that the guest can see changes, so libvirt's ABI check accepts the result. Pure.
 */
import type { Document, Element } from '@xmldom/xmldom';
import { attribute, childElements, descend, parseXml, serializeXml } from './xml.ts';

export interface Mapping {
  /** Source disk name → path at the destination. */
  readonly disks: Readonly<Record<string, string>>;
  /** Source network, bridge or device name → the one at the destination. */
  readonly networks: Readonly<Record<string, string>>;
  /** Disks that arrive as one flat image: their backing chain stays behind. */
  readonly flattened: ReadonlySet<string>;
}

const isBlock = (path: string): boolean => path.startsWith('/dev/');

function moveDisk(document: Document, disk: Element, path: string): void {
  const source = descend(disk, 'source');
  const moved = document.createElement('source');
  moved.setAttribute(isBlock(path) ? 'dev' : 'file', path);
  disk.setAttribute('type', isBlock(path) ? 'block' : 'file');
  if (source === undefined) disk.insertBefore(moved, descend(disk, 'target') ?? null);
  else disk.replaceChild(moved, source);
}

/** An empty element tells libvirt that there is nothing behind the image, so that it does not go looking. */
function flatten(document: Document, disk: Element): void {
  for (const store of childElements(disk, 'backingStore')) disk.removeChild(store);
  disk.insertBefore(document.createElement('backingStore'), descend(disk, 'target') ?? null);
}

function moveInterface(element: Element, networks: Mapping['networks']): void {
  const source = descend(element, 'source');
  if (source === undefined) return;
  for (const name of ['network', 'bridge', 'dev']) {
    const from = attribute(source, name);
    const to = from === undefined ? undefined : networks[from];
    if (to === undefined || to === from) continue;
    source.setAttribute(name, to);
    // What libvirt noted about the old network's port and bridge is not true there.
    source.removeAttribute('portid');
    source.removeAttribute('portgroup');
    if (name === 'network') source.removeAttribute('bridge');
    return;
  }
}

/** The XML for the destination. @throws PluginError HYPERVISOR_FAULT for XML that is no domain */
export function mapDefinition(xml: string, mapping: Mapping): string {
  const { document, root } = parseXml(xml, 'domain');
  const devices = descend(root, 'devices');
  if (devices === undefined) return xml;
  for (const disk of childElements(devices, 'disk')) {
    const name = attribute(descend(disk, 'target'), 'dev') ?? '';
    const path = mapping.disks[name];
    if (path !== undefined) moveDisk(document, disk, path);
    if (mapping.flattened.has(name)) flatten(document, disk);
  }
  for (const element of childElements(devices, 'interface')) moveInterface(element, mapping.networks);
  return serializeXml(document);
}

/** Whether `mapDefinition` would change anything; without need the XML is better left to libvirt. */
export function changesDefinition(mapping: Mapping): boolean {
  return (
    Object.keys(mapping.disks).length > 0 || Object.keys(mapping.networks).length > 0 || mapping.flattened.size > 0
  );
}
