/**
 * Small helpers over @xmldom/xmldom: parse strictly, walk elements, write back. No entity is ever fetched.
 */

import { PluginError } from '@lmas/plugin-api';
import { DOMParser, type Document, type Element, type Node, XMLSerializer } from '@xmldom/xmldom';

/** @throws PluginError HYPERVISOR_FAULT for anything that is not a document with the root `rootName` */
export function parseXml(xml: string, rootName: string): { document: Document; root: Element } {
  try {
    const refuse = (level: string, message: string): void => {
      if (level !== 'warning') throw new Error(message);
    };
    const document = new DOMParser({ onError: refuse }).parseFromString(xml, 'text/xml');
    const root = document.documentElement;
    if (root?.tagName !== rootName) throw new Error(`the root is <${root?.tagName}> instead of <${rootName}>`);
    return { document, root };
  } catch (error) {
    throw new PluginError('HYPERVISOR_FAULT', 'libvirt sent XML that cannot be read.', { cause: error });
  }
}

export const serializeXml = (node: Node): string => new XMLSerializer().serializeToString(node);

/** The child elements called `tagName`, not deeper ones. */
export function childElements(parent: Element, tagName: string): Element[] {
  return Array.from(parent.childNodes).filter(
    (node): node is Element => node.nodeType === node.ELEMENT_NODE && (node as Element).tagName === tagName,
  );
}

/** Takes the child elements of these names away, not deeper ones. */
export function removeChildren(parent: Element, ...tagNames: readonly string[]): void {
  for (const tagName of tagNames) for (const child of childElements(parent, tagName)) parent.removeChild(child);
}

/** The first element at the end of a path of tag names. */
export function descend(from: Element, ...path: readonly string[]): Element | undefined {
  let at: Element | undefined = from;
  for (const tagName of path) at = at === undefined ? undefined : childElements(at, tagName)[0];
  return at;
}

export const attribute = (element: Element | undefined, name: string): string | undefined =>
  element?.getAttribute(name) ?? undefined;

export const textOf = (element: Element | undefined): string | undefined => element?.textContent?.trim();

/** Text made safe for element content and attributes. */
export function escapeXml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
