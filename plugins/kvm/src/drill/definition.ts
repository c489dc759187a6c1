/**
 * Writes the definition of a drill's copy from that of the running VM. Pure.
 *
 * Invariant: nothing in the result points to anything of the VM or of a host that is not named here: its disks, its networks,
 * its serial lines and logs, its devices. What cannot be given to a copy is left out and named, so that a person knows
 * what the drill did not show. Devices are kept only when they are known to be harmless, never because nobody thought of them.
 */
import type { Document, Element } from '@xmldom/xmldom';
import {
  attribute,
  childElements,
  descend,
  parseXml,
  removeChildren,
  serializeXml,
  textOf,
} from '../definition/xml.ts';
import { type CopySettings, copyDevices } from './devices.ts';

export const MARK_NAMESPACE = 'urn:lmas:drill:1';

export interface CopyDefinition {
  readonly xml: string;
  /** What the copy lacks, in words. */
  readonly leftOut: readonly string[];
}

/** @throws PluginError HYPERVISOR_FAULT for XML that is no domain */
export function copyDefinition(xml: string, settings: CopySettings): CopyDefinition {
  const { document, root } = parseXml(xml, 'domain');
  root.removeAttribute('id');
  setText(document, root, 'name', settings.names.name);
  setText(document, root, 'uuid', settings.names.uuid);
  const leftOut = [...dropForeign(root), ...copyDevices(document, root, settings)];
  mark(document, root, settings);
  renewIdentity(document, root);
  setNvram(root, settings.nvram);
  endOnFailure(document, root);
  return { xml: serializeXml(document), leftOut };
}

function setText(document: Document, parent: Element, tagName: string, text: string): void {
  const element = document.createElement(tagName);
  element.appendChild(document.createTextNode(text));
  const old = descend(parent, tagName);
  if (old === undefined) parent.insertBefore(element, parent.firstChild);
  else parent.replaceChild(element, old);
}

/** Arguments that go to QEMU past libvirt may name anything of the VM's. */
function dropForeign(root: Element): string[] {
  const foreign = Array.from(root.childNodes).filter(
    (node): node is Element => node.nodeType === node.ELEMENT_NODE && (node as Element).tagName.includes(':'),
  );
  for (const element of foreign) root.removeChild(element);
  return foreign.map(({ tagName }) => tagName);
}

/** By this it is told from every other domain; other managers' metadata would make it theirs. */
function mark(document: Document, root: Element, { migrationId, vmId }: CopySettings): void {
  removeChildren(root, 'metadata');
  const metadata = document.createElement('metadata');
  const drill = document.createElementNS(MARK_NAMESPACE, 'lmas:drill');
  drill.setAttribute('migration', migrationId);
  drill.setAttribute('vm', vmId);
  metadata.appendChild(drill);
  root.appendChild(metadata);
}

export interface DrillMark {
  readonly migrationId: string;
  readonly vmId: string;
}

/** Of any domain's definition; `undefined` for one that no drill made. */
export function readMark(xml: string): DrillMark | undefined {
  const { root } = parseXml(xml, 'domain');
  const [drill] = Array.from(descend(root, 'metadata')?.getElementsByTagNameNS(MARK_NAMESPACE, 'drill') ?? []);
  const [migrationId, vmId] = [attribute(drill, 'migration'), attribute(drill, 'vm')];
  return migrationId === undefined || vmId === undefined ? undefined : { migrationId, vmId };
}

/** What tells the guest that it is itself is made anew; libvirt refuses a SMBIOS UUID that is not the domain's. */
function renewIdentity(document: Document, root: Element): void {
  const genid = descend(root, 'genid');
  if (genid !== undefined) root.replaceChild(document.createElement('genid'), genid);
  const system = descend(root, 'sysinfo', 'system');
  for (const entry of system === undefined ? [] : childElements(system, 'entry')) {
    if (attribute(entry, 'name') === 'uuid') system?.removeChild(entry);
  }
  for (const label of childElements(root, 'seclabel')) {
    if ((attribute(label, 'type') ?? 'dynamic') === 'dynamic') root.removeChild(label);
  }
}

/** A file of its own, whose content was brought here; libvirt makes none from a template where there is one. */
function setNvram(root: Element, path: string | undefined): void {
  const nvram = descend(root, 'os', 'nvram');
  if (nvram === undefined || path === undefined) return;
  while (nvram.firstChild !== null) nvram.removeChild(nvram.firstChild);
  nvram.removeAttribute('type');
  nvram.appendChild(nvram.ownerDocument?.createTextNode(path) as never);
}

/** It is gone when it ends: nothing of it is preserved, nothing waits for a person. */
function endOnFailure(document: Document, root: Element): void {
  for (const event of ['on_poweroff', 'on_crash']) {
    if (descend(root, event) !== undefined) setText(document, root, event, 'destroy');
  }
}

/** Where UEFI variables are at the source: as text, or as a `<source>` of newer libvirt. */
export function nvramOf(xml: string): string | undefined {
  const nvram = descend(parseXml(xml, 'domain').root, 'os', 'nvram');
  if (nvram === undefined) return undefined;
  return attribute(descend(nvram, 'source'), 'file') ?? (textOf(nvram) || undefined);
}

/** Files of the destination that the copy starts from: it takes the very paths of the VM. */
export function filesNeeded(xml: string): string[] {
  const { root } = parseXml(xml, 'domain');
  const paths = ['kernel', 'initrd', 'dtb', 'loader'].map((tagName) => textOf(descend(root, 'os', tagName)));
  return [...paths, textOf(descend(root, 'devices', 'emulator'))].filter(
    (path) => path?.startsWith('/') === true,
  ) as string[];
}
