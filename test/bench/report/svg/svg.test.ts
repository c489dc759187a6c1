import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barPlot } from './bar-plot.ts';
import { escapeText, scale, ticks } from './canvas.ts';
import { linePlot } from './line-plot.ts';

test('steps are round, begin at 0 and reach the largest value', () => {
  assert.deepEqual(ticks(1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(3.2), [0, 1, 2, 3, 4]);
  assert.deepEqual(ticks(941), [0, 200, 400, 600, 800, 1_000]);
  assert.deepEqual(ticks(0), [0, 1]);
});

test('a scale maps its ends onto its ends, also upside down and where both values are the same', () => {
  const y = scale(0, 10, 200, 100);
  assert.deepEqual([0, 5, 10].map(y), [200, 150, 100]);
  assert.equal(scale(3, 3, 10, 20)(3), 10);
});

test('names cannot break out of the markup', () => {
  assert.equal(escapeText('<a & "b">'), '&lt;a &amp; &quot;b&quot;&gt;');
  const svg = barPlot({ title: '<x>', xTitle: '', valueText: String, bars: [{ name: 'a&b', value: 1 }], ours: '' });
  assert.ok(svg.includes('<title>&lt;x&gt;</title>') && svg.includes('a&amp;b'));
});

test('bars are as long as their values, and their range is drawn', () => {
  const bars = [
    { name: 'lmas', value: 2, range: [1, 4] as const },
    { name: 'other', value: 4 },
  ];
  const svg = barPlot({ title: 't', xTitle: 'x', valueText: String, bars, ours: 'lmas' });
  const widths = [...svg.matchAll(/<rect x="130" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
  assert.deepEqual(widths, [220, 440]);
  assert.ok(svg.includes('x1="240" y1="59" x2="570" y2="59"'));
});

test('lines share their scales over all panels, and each name has one place in the legend', () => {
  const svg = linePlot({
    title: 't',
    xTitle: 'RTT, ms',
    yTitle: 'share',
    panels: [
      {
        title: 'one',
        series: [
          {
            name: 'lmas',
            points: [
              [200, 1],
              [0, 0.5],
            ],
          },
        ],
      }, // in any order
      {
        title: 'two',
        series: [
          {
            name: 'lmas',
            points: [
              [0, 0],
              [200, 1],
            ],
          },
          { name: 'ssh', points: [[0, 0.2]] },
        ],
      },
    ],
  });
  const paths = [...svg.matchAll(/<path d="([^"]+)"/g)].map(([, path]) => path);
  assert.deepEqual(paths.slice(0, 2), ['M64 174 L298 64', 'M342 284 L576 64']);
  assert.equal(svg.match(/>lmas</g)?.length, 1);
});
