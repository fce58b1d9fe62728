// The quick start of the npm package `openai`: chat, a stream, a response, an embedding.
import OpenAI from "openai";

const client = new OpenAI();
const model = process.env.MODEL;
const messages = [{ role: "user", content: "Hello" }];

const reply = await client.chat.completions.create({ model, messages });
let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0].delta.content ?? "";
}
const response = await client.responses.create({ model, input: "Hello" });
const vectors = await client.embeddings.create({
  model: process.env.EMBEDDING_MODEL,
  input: ["one", "two"],
});

console.log(
  JSON.stringify({
    text: reply.choices[0].message.content,
    streamed,
    response: response.output_text,
    dimensions: vectors.data.map((one) => one.embedding.length),
    calls: 4,
  }),
);
