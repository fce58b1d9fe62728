"""The quick start of langchain-openai: a message, a stream, a tool, an embedding."""

import json
import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

model = os.environ["MODEL"]
chat = ChatOpenAI(model=model)

reply = chat.invoke("Hello")
streamed = list(chat.stream("Hello"))
vectors = OpenAIEmbeddings(model=os.environ["EMBEDDING_MODEL"]).embed_documents(["one", "two"])

print(
    json.dumps(
        {
            "text": reply.text,
            "tokens": reply.usage_metadata["total_tokens"],
            "streamed": "".join(chunk.text for chunk in streamed),
            "dimensions": [len(vector) for vector in vectors],
            "calls": 3,
        }
    )
)
