"""The quick start of openai-agents: an agent on responses, streamed too, and one on chat."""

import asyncio
import json
import os

from agents import Agent, OpenAIChatCompletionsModel, Runner
from openai import AsyncOpenAI

model = os.environ["MODEL"]


async def main() -> None:
    agent = Agent(name="Assistant", instructions="You only respond in haikus.", model=model)
    reply = await Runner.run(agent, "Tell me about recursion in programming.")
    streaming = Runner.run_streamed(agent, "Hello")
    events = [event.type async for event in streaming.stream_events()]
    older = OpenAIChatCompletionsModel(model=model, openai_client=AsyncOpenAI())
    chat = await Runner.run(Agent(name="Older", model=older), "Hello")
    said = {"text": reply.final_output, "streamed": streaming.final_output}
    said |= {"chat": chat.final_output, "events": len(events), "calls": 3}
    print(json.dumps(said))


asyncio.run(main())
