/** Builds the page to static files. Everything it needs comes out of this: nothing is loaded from elsewhere at run time. */
import { defineConfig } from 'vite';

export default defineConfig({
  // Relative, so that the page works at whatever path a proxy puts the orchestrator.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // The orchestrator's content policy allows no inline code and no data: URLs but images.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: 'es2023' },
  server: { proxy: { '/v1': 'http://127.0.0.1:7070', '/readyz': 'http://127.0.0.1:7070' } },
});
