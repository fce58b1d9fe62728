"""The quick start of pydantic-ai: an agent is asked, and asked for a stream."""

import asyncio
import json
import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

agent = Agent(OpenAIChatModel(os.environ["MODEL"]), instructions="Be concise.")
newer = Agent(OpenAIResponsesModel(os.environ["MODEL"]), instructions="Be concise.")


async def main() -> None:
    reply = await agent.run("Hello")
    async with agent.run_stream("Hello") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True)]
    response = await newer.run("Hello")
    said = {"text": reply.output, "streamed": "".join(pieces), "response": response.output}
    print(json.dumps({**said, "calls": 3}))


asyncio.run(main())
