"""The quick start of instructor: an object out of a text."""

import json
import os

import instructor
from openai import OpenAI
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


client = instructor.from_openai(OpenAI(), mode=instructor.Mode.JSON)
person = client.chat.completions.create(
    model=os.environ["MODEL"],
    response_model=Person,
    messages=[{"role": "user", "content": "Ama is seven years old."}],
)
print(json.dumps({"person": person.model_dump(), "calls": 1}))
