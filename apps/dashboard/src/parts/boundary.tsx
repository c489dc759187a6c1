/**
 * Where an error of a page stops: the frame around it stays, and says what happened in its place. Another page has a boundary
 * of its own (give it a `key`).
 */
import { Component, type ComponentChildren } from 'preact';
import { PageHeading } from './page-heading.tsx';

interface BoundaryProps {
  readonly children: ComponentChildren;
}

export class Boundary extends Component<BoundaryProps, { readonly error: unknown }> {
  override state = { error: undefined as unknown };

  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render({ children }: BoundaryProps, { error }: { readonly error: unknown }) {
    return error === undefined ? children : <BrokenPage error={error} />;
  }
}

function BrokenPage({ error }: { error: unknown }) {
  return (
    <>
      <PageHeading title="This page cannot be shown" />
      <div class="problem" role="alert">
        <strong>An error of the page itself: {error instanceof Error ? error.message : String(error)}</strong>
        <p>What was asked of the orchestrator goes on there. Load the page again; if that does not help, report it.</p>
        {error instanceof Error && error.stack !== undefined ? (
          <details>
            <summary>For the report</summary>
            <pre>{error.stack}</pre>
          </details>
        ) : null}
        <button type="button" onClick={() => location.reload()}>
          Load it again
        </button>
      </div>
    </>
  );
}
