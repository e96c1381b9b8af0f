// An OAuth 2.1 authorization server: open registration, PKCE, resource indicators, RS256 access tokens (RFC 9068),
// and a login that says yes by itself. Arguments: {"port", "scopes": [...], "subject", "keyId", "lifetime", "clients",
// "email"} as JSON.
// Prints {"issuer"} when it serves. A new process with the same keyId has a new key under the old `kid`.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const options = JSON.parse(process.argv[2]);
const scope = options.scopes.join(' ');
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: options.keyId, use: 'sig', alg: 'RS256' };

const server = createServer();
await new Promise((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: options.clients ?? [],
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  // Most providers have the e-mail address in the ID token.
  conformIdTokenClaims: false,
  scopes: ['openid', 'offline_access', ...options.scopes],
  cookies: { keys: [randomUUID()] },
  clientDefaults: { grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: 'RS256' },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => options.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope,
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: options.lifetime ?? 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...options.email }) }),
  interactions: { url: (_, interaction) => `/consent/${interaction.uid}` },
  loadExistingGrant: async (context) => {
    const { oidc } = context;
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope(`openid offline_access email ${scope}`);
    for (const resource of Object.keys(oidc.resourceServers ?? {})) grant.addResourceScope(resource, scope);
    await grant.save();
    return grant;
  },
});

const handle = provider.callback();
server.on('request', async (request, response) => {
  if (request.url.startsWith('/consent/')) {
    await provider.interactionFinished(request, response, { login: { accountId: options.subject }, consent: {} });
    return;
  }
  if (request.method === 'POST' && request.url === '/reg') {
    // Clients register for the scopes of the first challenge; a server that allows to step up grants the others too.
    let body = '';
    for await (const chunk of request) body += chunk;
    request.body = { ...JSON.parse(body), scope: `openid offline_access ${scope}` };
  }
  handle(request, response);
});
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
