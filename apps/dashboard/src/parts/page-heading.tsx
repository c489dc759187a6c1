/** What a page is about: its heading, the name of the browser's tab, and the page that it belongs to. */
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { href } from '../navigation.ts';

interface PageHeadingProps {
  readonly title: string;
  /** What is said beside it. */
  readonly about?: string;
  /** Of the browser's tab, where it says more than the title. */
  readonly tab?: string;
  /** The page from which one comes here. */
  readonly within?: readonly [title: string, path: string];
  /** Badges, and what can be done first of all. */
  readonly children?: ComponentChildren;
}

export function PageHeading({ title, about, tab = title, within, children }: PageHeadingProps) {
  useEffect(() => {
    document.title = `${tab} – LMAS`;
  }, [tab]);
  return (
    <div class="page-heading">
      {within === undefined ? null : (
        <p class="within">
          <a href={href(within[1])}>{within[0]}</a>
        </p>
      )}
      <div class="heading">
        <h1>
          {title}
          {about === undefined ? null : <span class="muted"> {about}</span>}
        </h1>
        {children}
      </div>
    </div>
  );
}
