// Without credits: the client's own error, after how many requests the gateway counts.
import OpenAI from "openai";

try {
  await new OpenAI().chat.completions.create({
    model: process.env.MODEL,
    messages: [{ role: "user", content: "Hello" }],
  });
} catch (error) {
  console.log(JSON.stringify({ status: error.status, code: error.code, type: error.type }));
}
