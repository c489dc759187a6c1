// A reporter for Node's test runner that counts the tests (not the suites) and writes the sum as JSON at the end, with the
// milliseconds that each file took: what makes a run long is to be seen.

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* countReporter(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const fileMs = {};
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.nesting === 0) fileMs[data.file] = (fileMs[data.file] ?? 0) + Math.round(data.details?.duration_ms ?? 0);
    if (data.details?.type === 'suite') continue;
    // A file in which no test ran passes under its own name.
    if (type === 'test:pass' && data.name === data.file) continue;
    if (data.skip !== undefined && data.skip !== false) counts.skipped += 1;
    else if (type === 'test:pass') counts.passed += 1;
    else counts.failed += 1;
  }
  yield JSON.stringify({ ...counts, fileMs });
}
