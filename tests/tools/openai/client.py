"""The OpenAI Python client against an OpenAI-compatible server.

Usage: client.py BASE_URL MODEL [--without STEP]...

BASE_URL ends in /v1. Each step prints one line; the exit status is the number of steps that failed.
The client's own retries are off, so that every fault of the server shows.
"""

import argparse
import asyncio
import sys
import traceback

import openai

MAX_TOKENS = 8


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def models(client, model):
    names = [card.id for card in client.models.list()]
    check(model in names, f"{model} is not among {names}")


def chat(client, model):
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=MAX_TOKENS
    )
    choice = answer.choices[0]
    check(choice.message.role == "assistant" and choice.message.content, f"an empty answer: {choice}")
    check(choice.finish_reason in ("stop", "length"), f"finished by {choice.finish_reason}")
    check(answer.model == model, f"answered by {answer.model}")
    check_usage(answer.usage)


def chat_stream(client, model):
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Count to ten."}],
        max_tokens=MAX_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, finish, usage, chunks = "", None, None, 0
    for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    check(text and chunks > 2, f"{chunks} chunks with the text {text!r}")
    check(finish in ("stop", "length"), f"finished by {finish}")
    check_usage(usage)


def stream_left_early(client, model):
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Go on."}], max_tokens=500, stream=True
    )
    next(iter(stream))
    stream.close()
    chat(client, model)


def completion(client, model):
    answer = client.completions.create(model=model, prompt="Once upon a time", max_tokens=MAX_TOKENS)
    check(answer.choices[0].text, "an empty answer")
    check_usage(answer.usage)


def completion_stream(client, model):
    stream = client.completions.create(model=model, prompt="Once upon a time", max_tokens=MAX_TOKENS, stream=True)
    text = "".join(choice.text for chunk in stream for choice in chunk.choices)
    check(text, "an empty answer")


def many_at_once(client, model):
    async def ask(asker, number):
        answer = await asker.chat.completions.create(
            model=model, messages=[{"role": "user", "content": f"Number {number}."}], max_tokens=MAX_TOKENS
        )
        return bool(answer.choices[0].message.content)

    async def ask_all():
        async with openai.AsyncOpenAI(
            base_url=client.base_url, api_key=client.api_key, max_retries=0, timeout=60
        ) as asker:
            return await asyncio.gather(*(ask(asker, number) for number in range(16)))

    check(all(asyncio.run(ask_all())), "an empty answer")


def embeddings(client, model):
    answer = client.embeddings.create(model=model, input=["one text", "another text"])
    check(len(answer.data) == 2, f"{len(answer.data)} vectors for two texts")
    sizes = {len(item.embedding) for item in answer.data}
    check(len(sizes) == 1 and 0 not in sizes, f"vectors of the sizes {sizes}")


def unknown_model(client, model):
    error = refused(openai.NotFoundError, client, model="no-such-model", messages=[{"role": "user", "content": "x"}])
    check("no-such-model" in str(error), f"the error does not name the model: {error}")


def wrong_type(client, model):
    refused(openai.BadRequestError, client, model=model, messages="not a list")


def refused(kind, client, **request):
    try:
        client.chat.completions.create(**request)
    except kind as error:
        check(isinstance(error.body, dict) and error.body.get("message"), f"no message in {error.body}")
        return error
    except openai.APIStatusError as error:
        raise AssertionError(f"status {error.status_code} in place of {kind.__name__}: {error}") from error
    raise AssertionError(f"answered in place of {kind.__name__}")


def check_usage(usage):
    check(usage is not None, "no usage")
    check(usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= MAX_TOKENS, f"odd usage: {usage}")
    check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, f"usage does not add up: {usage}")


STEPS = [
    models,
    chat,
    chat_stream,
    stream_left_early,
    completion,
    completion_stream,
    many_at_once,
    embeddings,
    unknown_model,
    wrong_type,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("--without", action="append", default=[], choices=[step.__name__ for step in STEPS])
    options = parser.parse_args()
    client = openai.OpenAI(base_url=options.base_url, api_key="none", max_retries=0, timeout=60)
    failed = 0
    for step in STEPS:
        if step.__name__ in options.without:
            continue
        try:
            step(client, options.model)
            print(f"ok {step.__name__}", flush=True)
        except Exception as error:  # each step is its own test
            failed += 1
            print(f"FAILED {step.__name__}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
    sys.exit(failed)


if __name__ == "__main__":
    main()
