// What a person sends from a page with a form: name and password, or the first button.
function answer(page, user) {
  const form = /<form[^>]*action="([^"]*)"[^>]*>(.*?)<\/form>/s.exec(page);
  if (!form) throw new Error(`the login ends with ${page}`);
  const fields = new URLSearchParams();
  for (const [tag] of form[2].matchAll(/<(?:input|button)[^>]*>/g)) {
    const name = / name="([^"]*)"/.exec(tag)?.[1];
    if (name && !fields.has(name)) fields.set(name, user[name] ?? / value="([^"]*)"/.exec(tag)?.[1] ?? '');
  }
  return { action: form[1].replaceAll('&amp;', '&'), body: fields };
}

// What a person does in a browser: follow the authorization page to the end. Gives the redirect's parameters.
// LOGIN_USER has the user's name and password as JSON, for pages that ask.
export async function followToCode(start, redirectUrl) {
  const cookies = new Map();
  const user = JSON.parse(process.env.LOGIN_USER ?? '{}');
  let url = new URL(start);
  let body;
  for (let step = 0; step < 10; step += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = cookie ? { cookie } : {};
    const response = await fetch(url, { method: body ? 'POST' : 'GET', body, redirect: 'manual', headers });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split(/=(.*)/s);
      cookies.set(name, value);
    }
    body = undefined;
    const location = response.headers.get('location');
    if (!location) {
      const next = answer(await response.text(), user);
      url = new URL(next.action, url);
      body = next.body;
      continue;
    }
    url = new URL(location, url);
    if (url.href.startsWith(redirectUrl)) return url.searchParams;
  }
  throw new Error('the login goes in circles');
}

// An OAuthClientProvider, the same for both generations of the SDK, which keeps everything in memory.
export class MemoryProvider {
  redirectUrl = 'http://127.0.0.1:1/callback';
  registrations = 0;
  authorizations = [];

  get clientMetadata() {
    return {
      client_name: 'test',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  clientInformation() {
    return this.client;
  }

  saveClientInformation(client) {
    this.registrations += 1;
    this.client = client;
  }

  tokens() {
    return this.saved;
  }

  saveTokens(tokens) {
    this.saved = tokens;
  }

  async redirectToAuthorization(url) {
    this.authorizations.push(url.searchParams.get('scope'));
    this.parameters = await followToCode(url, this.redirectUrl);
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }
}

// Run `use`, and once more after each time that the server wanted a login, `finish` being given the redirect's result.
export async function withLogin(provider, use, finish, isUnauthorized) {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      return await use();
    } catch (error) {
      if (!isUnauthorized(error) || attempt === 2) throw error;
      await finish(provider.parameters);
    }
  }
  return undefined;
}
