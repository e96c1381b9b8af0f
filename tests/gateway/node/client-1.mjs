// The first generation of the TypeScript SDK: node client-1.mjs URL
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const client = new Client({ name: 'typescript-1', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const plain = await client.callTool({ name: 'test_simple_text' });
const failed = await client.callTool({ name: 'test_error_handling' });
const progress = [];
await client.callTool({ name: 'test_tool_with_progress' }, undefined, {
  onprogress: (step) => progress.push(step.progress),
});
const server = client.getServerVersion().name;
console.log(JSON.stringify({ server, tools, plain, failed, progress }));
await client.close();
