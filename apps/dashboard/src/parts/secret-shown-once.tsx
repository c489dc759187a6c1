/** A secret that the orchestrator tells this once: shown until the page is left, and never stored. */
import { useAction } from './use-action.ts';

/** Browsers give it to pages that came over HTTPS, or from this device. */
const HAS_CLIPBOARD = 'clipboard' in navigator;

export function SecretShownOnce({ what, secret }: { what: string; secret: string }) {
  const copy = useAction(async () => await navigator.clipboard.writeText(secret));
  return (
    <div class="note" role="status">
      <strong>{what}: shown now and never again.</strong>
      <p>
        <code class="secret">{secret}</code>{' '}
        {HAS_CLIPBOARD ? (
          <button type="button" disabled={copy.busy} onClick={() => void copy.run()}>
            Copy
          </button>
        ) : null}
      </p>
    </div>
  );
}
