// Word tools, written against the tool contract itself with Spin's JavaScript build tools: anagram, frequency.
//   GET /       → the tools' metadata
//   POST /TOOL  → the result of one call, with the arguments as the JSON body

interface Tool {
  title: string;
  description: string;
  inputSchema: object;
  outputSchema?: object;
  annotations: { readOnlyHint: boolean };
  call(input: Record<string, string>): object;
}

const text = (value: string) => ({ content: [{ type: "text", text: value }] });

const letters = (value: string) =>
  [...value.toLowerCase()].filter((c) => /\p{Letter}/u.test(c)).sort().join("");

const tools: Record<string, Tool> = {
  anagram: {
    title: "Anagram",
    description: "Tell whether two phrases are anagrams of each other.",
    inputSchema: {
      type: "object",
      properties: {
        first: { type: "string", description: "One phrase." },
        second: { type: "string", description: "The other phrase." },
      },
      required: ["first", "second"],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true },
    call: ({ first, second }) => text(letters(first) === letters(second) ? "yes" : "no"),
  },
  frequency: {
    title: "Word frequency",
    description: "Count how often each word of a text occurs.",
    inputSchema: {
      type: "object",
      properties: { text: { type: "string", description: "The text to count in." } },
      required: ["text"],
      additionalProperties: false,
    },
    outputSchema: {
      type: "object",
      properties: { counts: { type: "object", additionalProperties: { type: "integer" } } },
      required: ["counts"],
    },
    annotations: { readOnlyHint: true },
    call: (input) => {
      const counts: Record<string, number> = {};
      for (const word of input.text.toLowerCase().match(/\p{Letter}+/gu) ?? []) {
        counts[word] = (counts[word] ?? 0) + 1;
      }
      return { ...text(JSON.stringify(counts)), structuredContent: { counts } };
    },
  },
};

const json = (value: unknown, status = 200) =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });

async function handle(request: Request): Promise<Response> {
  const name = new URL(request.url).pathname.slice(1);
  if (request.method === "GET" && name === "") {
    return json(Object.entries(tools).map(([tool, { call: _, ...metadata }]) => ({ name: tool, ...metadata })));
  }
  if (request.method !== "POST" || !Object.hasOwn(tools, name)) {
    return json({ ...text(`no tool ${name}`), isError: true }, 404);
  }
  return json(tools[name].call(await request.json()));
}

addEventListener("fetch", (event) => {
  const fetchEvent = event as unknown as { request: Request; respondWith(response: Promise<Response>): void };
  fetchEvent.respondWith(handle(fetchEvent.request));
});
