// The second generation of the TypeScript SDK: node client-2.mjs URL [auto]
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [, , url, mode] = process.argv;
const options = mode ? { versionNegotiation: { mode } } : {};
const client = new Client({ name: 'typescript-2', version: '1' }, options);
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const plain = await client.callTool({ name: 'test_simple_text' });
const failed = await client.callTool({ name: 'test_error_handling' });
const progress = [];
await client.callTool(
  { name: 'test_tool_with_progress' },
  { onprogress: (step) => progress.push(step.progress) },
);
const server = client.getServerVersion().name;
console.log(JSON.stringify({ server, tools, plain, failed, progress }));
await client.close();
