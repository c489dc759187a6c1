/** A secret that the orchestrator tells this once: shown until the page is left, and never stored. */
import { useAction } from './use-action.ts';

export function SecretShownOnce({ what, secret }: { what: string; secret: string }) {
  const copy = useAction(async () => await navigator.clipboard.writeText(secret));
  return (
    <div class="note" role="status">
      <strong>{what}: shown now and never again.</strong>
      <p>
        <code class="secret">{secret}</code>{' '}
        <button type="button" disabled={copy.busy} onClick={() => void copy.run()}>
          Copy
        </button>
      </p>
    </div>
  );
}
