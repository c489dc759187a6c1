/**
 * Writes the definition that a destination holds for a VM that is off, and the one that it lets go. Pure.
 *
 * libvirt has no lock for a VM without a process. A held definition is one that libvirt and QEMU refuse to start: it boots from a
 * kernel that is not there, whose path says why. What the VM had in its place stands in the mark, by which the definition is told from
 * any other; all else is the VM's own already, so that to let go nothing is needed but the held one.
 */
import type { Document, Element } from '@xmldom/xmldom';
import { attribute, descend, parseXml, serializeXml, textOf } from '../definition/xml.ts';

const NAMESPACE = 'urn:lmas:relocation:1';

/** Nobody has such a file. */
const kernelOf = (migrationId: string): string => `/held-by-lmas/${migrationId}`;

/** @throws PluginError HYPERVISOR_FAULT for XML that is no domain */
export function held(xml: string, migrationId: string): string {
  const { document, root } = parseXml(xml, 'domain');
  const os = childOf(root, 'os');
  const former = textOf(descend(os, 'kernel'));
  setKernel(os, kernelOf(migrationId));
  const mark = document.createElementNS(NAMESPACE, 'lmas:relocation');
  mark.setAttribute('migration', migrationId);
  if (former !== undefined) mark.setAttribute('kernel', former);
  childOf(root, 'metadata').appendChild(mark);
  return serializeXml(document);
}

/** Of the held one. One that is not is returned as it is. */
export function letGo(xml: string): string {
  const { document, root } = parseXml(xml, 'domain');
  const mark = markOf(root);
  if (mark === undefined) return xml;
  const os = descend(root, 'os');
  if (os !== undefined) setKernel(os, attribute(mark, 'kernel'));
  const metadata = mark.parentNode;
  metadata?.removeChild(mark);
  if (metadata !== null && !Array.from(metadata.childNodes).some(({ nodeType }) => nodeType === 1))
    metadata.parentNode?.removeChild(metadata);
  return serializeXml(document);
}

/** The migration for which a definition is held; `undefined` of one that can be started. */
export const heldFor = (xml: string): string | undefined =>
  attribute(markOf(parseXml(xml, 'domain').root), 'migration');

const markOf = (root: Element): Element | undefined =>
  Array.from(descend(root, 'metadata')?.getElementsByTagNameNS(NAMESPACE, 'relocation') ?? [])[0];

/** Made where it is missing. */
function childOf(root: Element, tagName: string): Element {
  const there = descend(root, tagName);
  if (there !== undefined) return there;
  const made = (root.ownerDocument as Document).createElement(tagName);
  root.appendChild(made);
  return made;
}

function setKernel(os: Element, path: string | undefined): void {
  const before = descend(os, 'kernel');
  if (before !== undefined) os.removeChild(before);
  if (path === undefined) return;
  const kernel = (os.ownerDocument as Document).createElement('kernel');
  kernel.textContent = path;
  os.appendChild(kernel);
}
