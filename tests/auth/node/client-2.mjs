// The second generation of the TypeScript SDK against one endpoint: {"url", "tool", "guarded", "arguments"}.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { MemoryProvider, withLogin } from './login.mjs';

const job = JSON.parse(process.argv[2]);
const provider = new MemoryProvider();
let transport;
let client;
const unauthorized = (error) => error instanceof UnauthorizedError;
const finish = (parameters) => transport.finishAuth(parameters);

await withLogin(
  provider,
  async () => {
    transport = new StreamableHTTPClientTransport(new URL(job.url), { authProvider: provider });
    client = new Client({ name: 'typescript-2', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    await client.connect(transport);
  },
  finish,
  unauthorized,
);
const before = (await client.listTools()).tools.map((tool) => tool.name);
const plain = await client.callTool({ name: job.tool, arguments: job.arguments });
const guarded = await withLogin(
  provider,
  () => client.callTool({ name: job.guarded, arguments: job.arguments }),
  finish,
  unauthorized,
);
const after = (await client.listTools({}, { cacheMode: 'bypass' })).tools.map((tool) => tool.name);
const { registrations, authorizations } = provider;
console.log(JSON.stringify({ before, after, plain, guarded, registrations, authorizations }));
await client.close();
