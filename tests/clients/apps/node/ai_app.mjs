// The quick start of the npm package `ai` with its OpenAI provider: a text and a stream.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const model = process.env.MODEL;

const chat = await generateText({ model: openai.chat(model), prompt: "Hello" });
let streamed = "";
for await (const piece of streamText({ model: openai.chat(model), prompt: "Hello" }).textStream) {
  streamed += piece;
}
const response = await generateText({ model: openai(model), prompt: "Hello" });

console.log(
  JSON.stringify({ text: chat.text, streamed, response: response.text, calls: 3 }),
);
