/** The page that shows the API: everything it needs comes from the orchestrator itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startInProcess, temporaryDirectory } from '../workflow/harness.ts';

test('the page and all that it loads are served here, and it may speak to nobody else', async () => {
  await using directory = await temporaryDirectory();
  const orchestrator = await startInProcess(directory.path);
  try {
    const page = await fetch(`${orchestrator.url}/docs/`);
    const html = await page.text();
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type') ?? '', /text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'.*script-src 'self'.*connect-src 'self'/);
    const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => new URL(address, page.url));
    assert.ok(loaded.length >= 4, html);
    for (const address of loaded) {
      assert.equal(address.origin, new URL(orchestrator.url).origin, 'nothing from elsewhere');
      assert.equal((await fetch(address)).status, 200, address.href);
    }
  } finally {
    await orchestrator.stop();
  }
});
