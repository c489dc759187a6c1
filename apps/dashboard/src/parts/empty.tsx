/** Where something would be: why there is nothing, and what to do about it. */
import type { ComponentChildren } from 'preact';

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}
