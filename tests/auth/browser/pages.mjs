// People at the login's pages, in the system's Chromium: by keyboard, without script, on phone and desktop, light and
// dark. The first argument is JSON: {"url", "user", "password", "folder", "chromium"}. Prints a report as JSON.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const job = JSON.parse(process.argv[2]);
const base = job.url.replace(/\/mcp$/, '');
const report = { shots: [], wide: [], faint: [], blocked: [], answers: [], cookies: [], framed: null, forged: null };

const AWAY = 'https://client.invalid/callback';

// The client: it shows the end of the login, and a page that tries to frame it or to send its forms.
const seen = [];
let trap = '';
const client = createServer((request, response) => {
  const url = new URL(request.url, 'http://client');
  if (url.pathname === '/callback') {
    seen.push(Object.fromEntries(url.searchParams));
    // As many clients do: their own address sends people on to another one.
    response.writeHead(302, { location: `http://localhost:${client.address().port}/done` });
    response.end();
    return;
  }
  response.setHeader('content-type', 'text/html');
  response.end(url.pathname === '/trap' ? trap : '<!DOCTYPE html><title>Client</title><h1>Back in the client</h1>');
});
await new Promise((resolve) => client.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${client.address().port}`;
const done = `http://localhost:${client.address().port}/done`;

async function register(name) {
  const answer = await fetch(`${base}/login/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: name, redirect_uris: [`${origin}/callback`, AWAY], token_endpoint_auth_method: 'none' }),
  });
  if (answer.status !== 201) throw new Error(`registration answers ${answer.status}: ${await answer.text()}`);
  return (await answer.json()).client_id;
}

function authorizeUrl(clientId, changes = {}) {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: `${origin}/callback`,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    state: randomBytes(8).toString('hex'),
    scope: 'mcp:tools mail:send',
    resource: job.url,
    ...changes,
  });
  return `${base}/login/authorize?${query}`;
}

// Relative luminance and contrast (WCAG 2.2, 1.4.3), of every element with a text of its own.
function measure() {
  const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own && element.tagName !== 'INPUT') continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${element.tagName} ${element.textContent.slice(0, 40)} ${contrast.toFixed(2)}`);
  }
  const unnamed = [...document.querySelectorAll('input:not([type=hidden])')].filter(
    (input) => !document.querySelector(`label[for="${input.id}"]`),
  ).length;
  const small = [...document.querySelectorAll('button:not(.link), input:not([type=hidden])')].filter(
    (element) => element.getBoundingClientRect().height < 44,
  ).length;
  const root = document.documentElement;
  return {
    faint,
    unnamed,
    small,
    wide: root.scrollWidth > root.clientWidth,
    language: root.lang,
    headings: document.querySelectorAll('h1').length,
    text: document.body.innerText,
  };
}

const browser = await chromium.launch({ executablePath: job.chromium, args: ['--no-sandbox'] });
const sizes = { phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } };
const texts = {};

async function shoot(page, name, look) {
  const found = await page.evaluate(measure);
  const file = `${name}-${look}.png`;
  await page.screenshot({ path: join(job.folder, file), fullPage: true });
  report.shots.push(file);
  if (found.wide) report.wide.push(file);
  for (const item of found.faint) report.faint.push(`${file}: ${item}`);
  if (found.unnamed || found.small || found.language !== 'en' || found.headings !== 1) {
    report.blocked.push(`${file}: ${JSON.stringify(found)}`);
  }
  texts[name] = found.text;
}

async function signIn(page, user, password) {
  // The first field has the focus already, as for anybody who only has a keyboard.
  await page.keyboard.type(user);
  await page.keyboard.press('Tab');
  await page.keyboard.type(password);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

const name = 'Notes <b>& more</b>';
const clientId = await register(name);
for (const [size, viewport] of Object.entries(sizes)) {
  for (const colorScheme of ['light', 'dark']) {
    const look = `${size}-${colorScheme}`;
    const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled: false });
    const page = await context.newPage();
    page.on('console', (message) => {
      // A page with a status of 400 or more is one of those that are looked at.
      if (!message.text().startsWith('Failed to load resource: the server responded with a status of 4')) {
        report.blocked.push(`${look}: ${message.text()}`);
      }
    });
    const start = authorizeUrl(clientId);
    await page.goto(start);
    await shoot(page, 'sign-in', look);
    await signIn(page, job.user, 'not the password');
    await shoot(page, 'wrong-password', look);
    await signIn(page, job.user, job.password);
    await shoot(page, 'consent', look);
    report.cookies.push(...(await context.cookies()).map(({ name: _, value: __, ...rest }) => rest));
    // Allow is the first that the keyboard reaches.
    await page.keyboard.press('Tab');
    await Promise.all([page.waitForURL(done), page.keyboard.press('Enter')]);
    const query = new URL(start).searchParams;
    report.answers.push({ ...seen.at(-1), sent: query.get('state') });
    await page.goto(authorizeUrl(clientId));
    await Promise.all([page.waitForURL(done), page.getByRole('button', { name: 'Do not allow' }).click()]);
    report.answers.push(seen.at(-1));
    await page.goto(`${base}/login/sign-out`);
    await shoot(page, 'sign-out', look);
    await Promise.all([page.waitForNavigation(), page.getByRole('button', { name: 'Sign out' }).click()]);
    await shoot(page, 'signed-out', look);
    await page.goto(authorizeUrl(clientId, { redirect_uri: `${origin}/elsewhere` }));
    await shoot(page, 'error', look);
    await page.goto(authorizeUrl(clientId, { code_challenge_method: 'plain', redirect_uri: AWAY }));
    await shoot(page, 'error-of-the-client', look);
    await context.close();
  }
}

// Somebody who tries passwords is told how long to wait.
const guesser = await browser.newContext({ viewport: sizes.phone, javaScriptEnabled: false });
const guesses = await guesser.newPage();
await guesses.goto(authorizeUrl(clientId));
for (let count = 0; count < 30 && !/too many/i.test(texts['too-often'] ?? ''); count += 1) {
  await signIn(guesses, 'mallory', `guess number ${count}`);
  texts['too-often'] = await guesses.evaluate(() => document.body.innerText);
}
await shoot(guesses, 'too-often', 'phone-light');
await guesser.close();

// A hostile page, with script: it frames the login, and sends a form of its own.
const open = await browser.newContext();
const hostile = await open.newPage();
trap = `<!DOCTYPE html><iframe src="${authorizeUrl(clientId).replaceAll('&', '&amp;')}"></iframe>`;
await hostile.goto(`${origin}/trap`, { waitUntil: 'networkidle' });
report.framed = await Promise.all(
  hostile.frames().slice(1).map((frame) => frame.evaluate(() => document.querySelectorAll('form').length)),
);
trap = `<!DOCTYPE html><form method="post" action="${base}/login/consent"><input name="decision" value="allow">
  <input name="request" value="x"></form><script>document.forms[0].submit()</script>`;
const [answer] = await Promise.all([
  hostile.waitForResponse((response) => response.url().endsWith('/login/consent')),
  hostile.goto(`${origin}/trap`).catch(() => undefined),
]);
report.forged = answer.status();
await browser.close();
client.close();
console.log(JSON.stringify({ ...report, texts, origin, name }));
