// Lists and calls tools of two components with the TypeScript SDK's first generation.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const client = new Client({ name: 'quickstart', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv.at(-1))));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const count = await client.callTool({ name: 'text__count', arguments: { text: 'one two' } });
const convert = await client.callTool({ name: 'units__convert', arguments: { value: 2, from: 'km', to: 'm' } });
console.log(JSON.stringify({ tools, texts: [count.content[0].text, convert.content[0].text] }));
await client.close();
