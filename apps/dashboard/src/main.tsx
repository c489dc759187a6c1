/** Puts the page into the document and takes up the login of before. */
import { render } from 'preact';
import { App } from './app.tsx';
import { resumeSession } from './session/session.ts';
import './styles/base.css';
import './styles/frame.css';
import './styles/controls.css';
import './styles/boxes.css';
import './styles/tables.css';
import './styles/drawings.css';

const root = document.getElementById('app');
if (root === null) throw new Error('the document has no place for the page');
render(<App />, root);
await resumeSession();
